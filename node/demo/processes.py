"""The demo's processes: started, waited for by what they say, and always stopped."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import re
import signal
import subprocess
import sys
import threading
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

START_TIMEOUT = 60.0
STOP_TIMEOUT = 20.0
API_TIMEOUT = 60.0
PASSWORD = "demo"  # noqa: S105 - the demo's keys guard play money in a temporary folder


class DemoError(Exception):
    """The demo cannot go on, or its figures do not agree. One line."""


@dataclass(slots=True)
class Process:
    """A child that prints one JSON line when it is ready; the rest of its output goes to a log file."""

    name: str
    child: subprocess.Popen[str]
    log: Path
    ready: dict[str, Any] = field(default_factory=dict)
    reader: threading.Thread | None = None

    @classmethod
    def start(cls, name: str, arguments: list[str], folder: Path) -> Process:
        """Raises `DemoError` with the last line of its log when it does not become ready."""
        log = folder / f"{name}.log"
        with log.open("a") as errors:  # a node that was killed starts again under its name
            child = subprocess.Popen(
                [sys.executable, "-m", *arguments],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                env={**os.environ, "BTTNODE_PASSWORD": PASSWORD, "PYTHONUNBUFFERED": "1"},
            )
        process = cls(name, child, log)
        process._await_ready()
        return process

    def _await_ready(self) -> None:
        lines: queue.Queue[str] = queue.Queue()
        stream = self.child.stdout
        if stream is None:
            raise RuntimeError("the child has no standard output")

        def read() -> None:
            with contextlib.suppress(ValueError):
                for line in stream:
                    lines.put(line)
            lines.put("")

        self.reader = threading.Thread(target=read, daemon=True)
        self.reader.start()
        text = ""
        while True:
            try:
                line = lines.get(timeout=START_TIMEOUT)
            except queue.Empty:
                raise DemoError(f"{self.name} did not start in {START_TIMEOUT:g} s: see {self.log}") from None
            if not line:
                raise DemoError(f"{self.name} did not start: {self.last_words()}")
            text += line
            try:
                self.ready = json.loads(text)
            except ValueError:
                continue
            return

    def last_words(self) -> str:
        lines = [line for line in self.log.read_text(errors="replace").splitlines() if line.strip()]
        return lines[-1][:300] if lines else f"no reason given, see {self.log}"

    def check(self) -> None:
        """Raises `DemoError` if it has died."""
        if self.child.poll() is not None:
            raise DemoError(f"{self.name} ended with code {self.child.returncode}: {self.last_words()}")

    def stop(self) -> None:
        if self.child.poll() is None:
            self.child.send_signal(signal.SIGTERM)
            try:
                self.child.wait(STOP_TIMEOUT)
            except subprocess.TimeoutExpired:
                self.child.kill()
        self.reap()

    def kill(self) -> None:
        """SIGKILL: no chance to save anything."""
        self.child.kill()
        self.reap()

    def reap(self) -> None:
        """Wait for the end of a process that is ending, and let go of its output."""
        self.child.wait(STOP_TIMEOUT)
        if self.reader is not None:
            self.reader.join(STOP_TIMEOUT)
        if self.child.stdout is not None:
            self.child.stdout.close()


@dataclass(slots=True)
class Node:
    """One bttnode of the demo: its folder, its process, its command line."""

    name: str
    home: Path
    address: str = ""
    process: Process | None = None

    def cli(self, *arguments: str) -> Any:
        """Run a command with --json; returns what it printed. Raises `DemoError` with its one line."""
        done = subprocess.run(
            [sys.executable, "-m", "node.cli", "--home", str(self.home), "--json", *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "BTTNODE_PASSWORD": PASSWORD},
        )
        if done.returncode != 0:
            raise DemoError(f"{self.name}: {done.stderr.strip().splitlines()[-1] if done.stderr.strip() else 'failed'}")
        return json.loads(done.stdout)

    def configure(self, key: str, value: str) -> None:
        """Change one line of config.toml, as a user would in an editor; the node reads it when it starts.

        Raises `DemoError` where no line has that key.
        """
        path = self.home / "config.toml"
        text, found = re.subn(rf"(?m)^#?{re.escape(key)} = .*$", lambda _: f"{key} = {value}", path.read_text())
        if found != 1:
            raise DemoError(f"{path} has {found} lines for {key}, expected one")
        path.write_text(text)

    def up(self, folder: Path) -> None:
        self.process = Process.start(self.name, ["node.cli", "--home", str(self.home), "--json", "up"], folder)

    def call(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        """The node's API without the cost of a new process. Raises `DemoError` when it refuses or is gone."""
        url = json.loads((self.home / "api.json").read_text())["url"]
        token = (self.home / "api-token").read_text().strip()
        request = urllib.request.Request(  # noqa: S310 - the demo's own node on loopback
            url + path,
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"Bearer {token}", "Content-Type": "application/json"},
        )
        try:
            with urllib.request.urlopen(request, timeout=API_TIMEOUT) as answer:  # noqa: S310 - see above
                return json.loads(answer.read())
        except OSError as error:  # an HTTP error is one too
            raise DemoError(f"{self.name}: {method} {path}: {error}") from None

    @property
    def running(self) -> Process:
        """Raises `RuntimeError` before `up`."""
        if self.process is None:
            raise RuntimeError("not up")
        return self.process

    @property
    def peer_port(self) -> int:
        return int(self.running.ready["port"])
