"""Commands around local services: the devnet and the tracker."""

from __future__ import annotations

import http.client
import json
import subprocess
import sys
import urllib.request
from pathlib import Path

import click

from config.networks import load_network
from config.settings import load_settings
from node.cli.client import OPENER, CliError
from node.cli.context import Shell, catches
from wallet import keystore


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


@devnet.command("faucet")
@click.pass_obj
@catches
def devnet_faucet(shell: Shell) -> None:
    """Give this node's address play money on the devnet it is configured for."""
    settings = load_settings(shell.paths.config).network
    if load_network(settings.profile).kind != "dev" or not settings.endpoints:
        raise CliError(f"{settings.profile} is no devnet of yours", "`bttnode init --deployment FILE` makes one known")
    address = keystore.address_of(shell.paths.keystore).evm
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "bttnode_faucet", "params": [address]}).encode()
    request = urllib.request.Request(  # noqa: S310 - the endpoint the user configured for a devnet
        settings.endpoints[0], data=body, headers={"Content-Type": "application/json"}
    )
    try:
        with OPENER.open(request, timeout=settings.timeout) as answer:
            found = json.loads(answer.read())
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise CliError(f"{settings.endpoints[0]} does not answer: {error}", "is `bttnode devnet up` running?") from None
    if "error" in found:
        raise CliError(f"the faucet refuses: {found['error'].get('message', found['error'])}")
    shell.show({"address": address}, lambda: shell.console.print(f"{address} has play money now: bttnode wallet show"))


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", default=6969, show_default=True)
@catches
def tracker(host: str, port: int) -> None:
    """Run a small tracker for private swarms in the foreground."""
    _run_module("node.tracker", ["--host", host, "--port", str(port)])


COMMANDS = (devnet, tracker)
