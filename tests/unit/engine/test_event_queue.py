"""The native event queue by itself: it knows neither libtorrent nor Python, so its order is checked without both."""

from __future__ import annotations

import subprocess
from pathlib import Path

import node.engine

NATIVE = Path(node.engine.__file__).parent / "native"
CHECKS = Path(__file__).with_name("event_queue.cpp")


def test_counts_coalesce_but_never_across_a_message_or_a_verdict(tmp_path: Path) -> None:
    program = tmp_path / "event_queue"
    sources = [str(CHECKS), str(NATIVE / "events.cpp")]
    subprocess.run(
        ["c++", "-std=c++17", "-Wall", "-I", str(NATIVE), *sources, "-o", str(program)], check=True, timeout=60
    )
    checked = subprocess.run([str(program)], capture_output=True, text=True, timeout=10, check=False)
    assert (checked.returncode, checked.stdout) == (0, "")
