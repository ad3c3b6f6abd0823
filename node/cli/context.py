"""What every command shares: the node's folder, how to print, how to ask for secrets."""

from __future__ import annotations

import functools
import json
import os
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import click
from rich.console import Console
from rich.text import Text

from config.errors import ConfigError
from config.paths import Paths
from node.cli.client import Client, CliError, fail, printable
from node.ports.engine import EngineError
from node.ports.store import StoreError
from wallet.amount import BTT, parse_amount, parse_price, parse_size
from wallet.errors import AmountError, WalletError

P = ParamSpec("P")
R = TypeVar("R")

PASSWORD_VARIABLE = "BTTNODE_PASSWORD"  # noqa: S105 - the name of a variable, not a password


class Terminal(Console):
    """Prints text as it is. Names, clients and reasons come from strangers, who may not write markup or escapes."""

    def __init__(self) -> None:
        super().__init__(highlight=False, soft_wrap=True, markup=False, emoji=False)

    def render_str(self, text: str, **options: Any) -> Text:
        return super().render_str(printable(text), **options)


@dataclass(frozen=True, slots=True)
class Shell:
    """One invocation of the command line."""

    paths: Paths
    as_json: bool
    console: Terminal

    @property
    def client(self) -> Client:
        return Client(self.paths)

    def show(self, value: Any, text: Callable[[], None]) -> None:
        """`value` as JSON with --json, else whatever `text` prints."""
        if self.as_json:
            click.echo(json.dumps(value, indent=2))
        else:
            text()


def catches(command: Callable[P, R]) -> Callable[P, R]:
    """Every expected fault becomes one line and an exit code; no traceback reaches a user."""

    @functools.wraps(command)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return command(*args, **kwargs)
        except CliError as error:
            fail(error)
        except (ConfigError, WalletError, StoreError, EngineError, TimeoutError) as error:
            fail(CliError(str(error), str(getattr(error, "hint", ""))))
        except OSError as error:
            where = f"{error.filename}: " if error.filename else ""
            fail(CliError(f"{where}{error.strerror or error}"))

    return wrapped


def password(prompt: str, *, confirm: bool = False, file: Path | None = None) -> str:
    """From --password-file, else $BTTNODE_PASSWORD, else a prompt on the terminal."""
    if file is not None:
        try:
            return file.read_text(encoding="utf-8").rstrip("\n")
        except UnicodeDecodeError:
            raise CliError(f"{file}: the password is not UTF-8 text") from None
    if PASSWORD_VARIABLE in os.environ:
        return os.environ[PASSWORD_VARIABLE]
    if not sys.stdin.isatty():
        raise CliError("a password is needed", f"set {PASSWORD_VARIABLE} or use --password-file")
    return str(click.prompt(prompt, hide_input=True, confirmation_prompt=confirm, err=True))


class _Parsed(click.ParamType[int]):
    """A click type over one of the wallet's exact parsers."""

    def __init__(self, name: str, parse: Callable[[str], int]) -> None:
        self.name = name
        self._parse = parse

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        try:
            return self._parse(str(value))
        except AmountError as error:
            self.fail(str(error), param, ctx)


def _duration(text: str) -> int:
    """'90s', '20m', '1h30m', '2d' → seconds."""
    match = _DURATION.fullmatch(text.strip().lower())
    if match is None or not any(match.groups()):
        raise AmountError(f"{text[:20]!r} is not a time: write it like 20m, 1h30m or 2d")
    return sum(int(number or 0) * unit for number, unit in zip(match.groups(), (86_400, 3600, 60, 1), strict=True))


_DURATION = re.compile(r"(?:(\d{1,4})d)?(?:(\d{1,4})h)?(?:(\d{1,5})m)?(?:(\d{1,6})s)?")

AMOUNT = _Parsed("amount", lambda text: parse_amount(text, BTT))
PRICE = _Parsed("price", lambda text: parse_price(text, BTT))
SIZE = _Parsed("size", parse_size)
DURATION = _Parsed("time", _duration)
