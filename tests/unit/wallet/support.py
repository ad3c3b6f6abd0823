"""Known answers, and what is said about bad input."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

_VECTORS = Path(__file__).parents[2] / "vectors"


def load(name: str) -> dict[str, Any]:
    """The content of `tests/vectors/<name>.json`, computed by other implementations (their names are in it)."""
    found: dict[str, Any] = json.loads((_VECTORS / f"{name}.json").read_text())
    return found


def complaint(error: type[Exception], action: Callable[[], object]) -> str:
    """The text of the `error` that `action` raises, "" where it raises none. Any other exception fails the test."""
    try:
        action()
    except error as raised:
        return str(raised)
    return ""
