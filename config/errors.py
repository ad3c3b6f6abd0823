"""Faults in settings, each one line for the user."""

from __future__ import annotations

from pydantic import ValidationError


class ConfigError(Exception):
    """A setting is wrong. The text names it and says what is expected."""


def one_line(error: ValidationError) -> str:
    """The first fault of a pydantic error, with the path of the key."""
    first = error.errors(include_url=False)[0]
    where = ".".join(str(part) for part in first["loc"]) or "file"
    message = str(first["msg"]).removeprefix("Value error, ")
    more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
    return f"{where}: {message}{more}"
