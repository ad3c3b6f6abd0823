"""Commands around local services: the devnet and the tracker."""

from __future__ import annotations

import http.client
import json
import subprocess
import sys
import urllib.request
from pathlib import Path

import click

from config.networks import Network, load_network
from config.settings import RailSettings, load_settings
from node.cli.client import OPENER, CliError
from node.cli.context import Shell, catches
from wallet import keystore
from wallet.address import Address

_DEFAULT_PORTS = {"bttc": 8545, "tron": 9090}


def _run_module(module: str, arguments: list[str]) -> None:
    sys.exit(subprocess.call([sys.executable, "-m", module, *arguments]))


@click.group()
def devnet() -> None:
    """A local chain with the real contracts, for trying things out."""


@devnet.command("up")
@click.option("--rail", type=click.Choice(["bttc", "tron"]), default="bttc", show_default=True, help="Whose rules.")
@click.option("--data-dir", type=click.Path(path_type=Path), help="Folder for its state (default: in the node folder).")
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", type=int, help="Port to listen on (default: 8545 for bttc, 9090 for tron).")
@click.pass_obj
@catches
def devnet_up(shell: Shell, rail: str, data_dir: Path | None, host: str, port: int | None) -> None:
    """Run it in the foreground; prints one JSON line when it is ready."""
    folder = data_dir or shell.paths.home / ("devnet" if rail == "bttc" else f"devnet-{rail}")
    folder.mkdir(parents=True, exist_ok=True)
    chosen = _DEFAULT_PORTS[rail] if port is None else port
    _run_module("node.devnet", ["--rail", rail, "--data-dir", str(folder), "--host", host, "--port", str(chosen)])


@devnet.command("faucet")
@click.pass_obj
@catches
def devnet_faucet(shell: Shell) -> None:
    """Give this node's address play money on the devnets it is configured for."""
    settings = load_settings(shell.paths.config)
    rails = {name: rail for name, rail in settings.rail.items() if load_network(name).kind == "dev" and rail.endpoints}
    if not rails:
        raise CliError(
            f"none of {', '.join(settings.rail)} is a devnet of yours",
            "`bttnode init --deployment FILE` makes one known",
        )
    address = keystore.address_of(shell.paths.keystore)
    for name, rail in rails.items():
        _pour(load_network(name), rail, address)
    result = {"address": address.evm, "tron": address.tron, "rails": list(rails)}
    shell.show(
        result, lambda: shell.console.print(f"play money on {', '.join(rails)}: see it with `bttnode wallet balance`")
    )


def _pour(network: Network, rail: RailSettings, address: Address) -> None:
    url = rail.endpoints[0]
    body: dict[str, object]
    if network.is_tron:
        url, body = f"{url.rstrip('/')}/devnet/faucet", {"address": address.tron}
    else:
        body = {"jsonrpc": "2.0", "id": 1, "method": "bttnode_faucet", "params": [address.evm]}
    request = urllib.request.Request(  # noqa: S310 - the endpoint the user configured for a devnet
        url, data=json.dumps(body).encode(), headers={"Content-Type": "application/json"}
    )
    try:
        with OPENER.open(request, timeout=rail.timeout) as answer:
            found = json.loads(answer.read())
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise CliError(f"{network.name} does not answer: {error}", "is `bttnode devnet up` running?") from None
    fault = found.get("error") or found.get("Error") if isinstance(found, dict) else None
    if fault:
        raise CliError(f"the faucet refuses: {fault.get('message', fault) if isinstance(fault, dict) else fault}")


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", default=6969, show_default=True)
@catches
def tracker(host: str, port: int) -> None:
    """Run a small tracker for private swarms in the foreground."""
    _run_module("node.tracker", ["--host", host, "--port", str(port)])


COMMANDS = (devnet, tracker)
