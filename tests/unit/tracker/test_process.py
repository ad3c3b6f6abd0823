"""The tracker as a process of its own: one line when it is ready, a clean end on SIGTERM."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import urllib.request

import pytest

from node.bencode import decode

DEADLINE = 30
HASH = "ab" * 20


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "node.tracker", *arguments]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_says_where_it_listens_answers_and_stops_cleanly(number: signal.Signals) -> None:
    pipe = subprocess.PIPE
    with subprocess.Popen(command("--port", "0", "--allow", HASH), stdout=pipe, stderr=pipe, text=True) as child:
        try:
            assert child.stdout is not None
            ready = json.loads(child.stdout.readline())
            assert ready["ready"] is True
            with urllib.request.urlopen(ready["url"] + f"?info_hash={'x' * 20}&peer_id={'a' * 20}&port=1") as answer:
                assert decode(answer.read()) == {b"failure reason": b"this torrent is not served here"}
            child.send_signal(number)
            assert child.communicate(timeout=DEADLINE) == ("", "")
            assert child.returncode == 0
        finally:
            child.kill()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--port", "99999"), "a port is a number from 0 to 65535"),
        (("--port", "0", "--allow", "zz"), "40 hex digits"),
        (("--port", "0", "--host", "192.0.2.1"), "cannot listen on 192.0.2.1:0"),
    ],
)
def test_what_it_cannot_do_is_one_line_and_no_traceback(arguments: tuple[str, ...], words: str) -> None:
    done = subprocess.run(command(*arguments), capture_output=True, text=True, timeout=DEADLINE, check=False)
    assert done.returncode != 0
    assert words in done.stderr
    assert "Traceback" not in done.stderr
