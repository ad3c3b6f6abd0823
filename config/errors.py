"""Faults in settings, each one line for the user."""

from __future__ import annotations

from pydantic import ValidationError

_CLEARER = {
    "extra_forbidden": "no such setting",
    "model_type": "write it as a table, with its name in brackets",
    "bool_type": "write true or false",
    "int_type": "write a whole number",
    "float_type": "write a number",
    "string_type": "write it in quotes",
    "tuple_type": "write a list, in brackets",
}
"""pydantic's words for these speak of Python."""


class ConfigError(Exception):
    """A setting is wrong. The text names it and says what is expected."""


def one_line(error: ValidationError) -> str:
    """The first fault of a pydantic error, with the path of the key."""
    first = error.errors(include_url=False, include_input=False)[0]
    # A quoted key may hold anything.
    where = ".".join(text if (text := str(part)).isprintable() else repr(text) for part in first["loc"]) or "file"
    message = _CLEARER.get(first["type"], str(first["msg"]).removeprefix("Value error, "))
    more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
    return f"{where}: {message}{more}"
