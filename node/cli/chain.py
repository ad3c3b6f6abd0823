"""Commands around local services: the devnet and the tracker."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import click

from node.cli.context import Shell, catches


def _run_module(module: str, arguments: list[str]) -> None:
    sys.exit(subprocess.call([sys.executable, "-m", module, *arguments]))


@click.group()
def devnet() -> None:
    """A local chain with the real contracts, for trying things out."""


@devnet.command("up")
@click.option("--data-dir", type=click.Path(path_type=Path), help="Folder for its state (default: in the node folder).")
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", default=8545, show_default=True)
@click.option("--chain-id", default=199, show_default=True)
@click.pass_obj
@catches
def devnet_up(shell: Shell, data_dir: Path | None, host: str, port: int, chain_id: int) -> None:
    """Run it in the foreground; prints one JSON line when it is ready."""
    folder = data_dir or shell.paths.home / "devnet"
    folder.mkdir(parents=True, exist_ok=True)
    _run_module(
        "node.devnet",
        ["--data-dir", str(folder), "--host", host, "--port", str(port), "--chain-id", str(chain_id)],
    )


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", default=6969, show_default=True)
@catches
def tracker(host: str, port: int) -> None:
    """Run a small tracker for private swarms in the foreground."""
    _run_module("node.tracker", ["--host", host, "--port", str(port)])


COMMANDS = (devnet, tracker)
