"""The command line's side of the local API, and its one way to fail: a line, a hint, an exit code."""

from __future__ import annotations

import http.client
import json
import sys
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import quote

from config.paths import Paths

TIMEOUT = 150.0
"""Seconds: a settlement waits for its final receipt."""

OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))
"""Without the proxies of the environment: they cannot reach our loopback, and would be handed our token."""

# Exit codes: 0 done, 1 refused or failed, 2 wrong usage (click's own), 3 no node is running, 4 incomplete.
FAILED, USAGE, NOT_RUNNING, INCOMPLETE = 1, 2, 3, 4


class CliError(Exception):
    """Ends the command with one line, an optional hint, and an exit code."""

    def __init__(self, text: str, hint: str = "", code: int = FAILED) -> None:
        super().__init__(text)
        self.hint = hint
        self.code = code


def fail(error: CliError) -> NoReturn:
    """Print and leave."""
    line = " ".join(str(error).split())
    print(printable(f"bttnode: {line}" + (f" ({error.hint})" if error.hint else "")), file=sys.stderr)
    sys.exit(error.code)


def printable(text: str) -> str:
    """Names and reasons come from strangers: what would move the cursor or recolour the terminal is made visible."""
    return "".join(c if c.isprintable() or c == "\n" else "\N{REPLACEMENT CHARACTER}" for c in text)


def torrent_path(torrent: str, *rest: str) -> str:
    """The API's path of a torrent, which the user may name by a prefix of its name, with any characters."""
    return "/".join(("/v1/torrents", quote(torrent, safe=""), *rest))


@dataclass(frozen=True, slots=True)
class Client:
    """Requests to the node that runs in `paths.home`."""

    paths: Paths

    def get(self, path: str) -> Any:
        return self._ask("GET", path, None)

    def post(self, path: str, body: dict[str, Any] | None = None, *, key: str = "") -> Any:
        """`key`: an idempotency key, where the request moves money."""
        return self._ask("POST", path, body or {}, {"Idempotency-Key": key} if key else {})

    def delete(self, path: str) -> Any:
        return self._ask("DELETE", path, None)

    def _ask(self, method: str, path: str, body: dict[str, Any] | None, headers: dict[str, str] | None = None) -> Any:
        url, token = self._where()
        request = urllib.request.Request(  # noqa: S310 - the address comes from our own file and is checked below
            url + path,
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"Bearer {token}", "Content-Type": "application/json"} | (headers or {}),
        )
        try:
            with OPENER.open(request, timeout=TIMEOUT) as answer:
                return json.loads(answer.read())
        except urllib.error.HTTPError as error:
            raise _refusal(error) from None
        except (urllib.error.URLError, ConnectionError):
            raise _not_running(self.paths.home) from None
        except TimeoutError:
            raise CliError("the node did not answer in time", "see its log; what was asked may still happen") from None
        except (ValueError, http.client.HTTPException):
            raise CliError("what answers on the node's port is no node", "is another program there?") from None

    def _where(self) -> tuple[str, str]:
        try:
            url = json.loads(self.paths.api.read_text())["url"]
            token = self.paths.token.read_text().strip()
        except (OSError, ValueError, KeyError, TypeError):
            raise _not_running(self.paths.home) from None
        if not str(url).startswith("http://"):
            raise _not_running(self.paths.home)
        return str(url), token


def _not_running(home: Path) -> CliError:
    return CliError(f"no node is running in {home}", "start one with `bttnode up`", NOT_RUNNING)


def _refusal(error: urllib.error.HTTPError) -> CliError:
    try:
        body = json.loads(error.read())
        return CliError(str(body["error"]), str(body.get("hint", "")))
    except (ValueError, KeyError, TypeError, AttributeError, OSError, http.client.HTTPException):
        return CliError(f"the node answers {error.code}")
