"""The table of storage adversaries lists every test, and no test that there is not."""

from __future__ import annotations

import re
from pathlib import Path

HERE = Path(__file__).parent


def test_the_readme_lists_every_adversary() -> None:
    text = (HERE.parent / "README.md").read_text().partition("# Storage (")[2]
    listed = set(re.findall(r"`(…[^`]+)`", text))
    patterns = [".*".join(map(re.escape, name.split("…"))) for name in listed]
    tests = {
        name
        for path in sorted(HERE.glob("test_*.py"))
        if path.name != Path(__file__).name
        for name in re.findall(r"^(?:async )?def (test_\w+)", path.read_text(), re.MULTILINE)
    }
    unlisted = {name for name in tests if not any(re.fullmatch(pattern, name) for pattern in patterns)}
    unknown = {name for name in patterns if not any(re.fullmatch(name, test) for test in tests)}
    assert (unlisted, unknown) == (set(), set())
