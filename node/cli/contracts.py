"""Commands around the contracts: putting them on a network that has none."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import click
from pydantic import ValidationError

from config.errors import ConfigError, one_line
from config.networks import NAMES, Network, load_network
from config.settings import RailSettings, load_settings
from node.cli.client import CliError
from node.cli.context import Shell, catches, password
from wallet import keystore
from wallet.amount import Token, format_amount
from wallet.chains.base import Call, Fee


@click.group()
def contracts() -> None:
    """The contracts that cheques settle with."""


@contracts.command("deploy")
@click.option("--network", "name", required=True, help=f"One of {', '.join(NAMES)}.")
@click.option("--token", help="The token that cheques are worth (default: the network's BTT).")
@click.option("--test-token", is_flag=True, help="Make a token that anybody can mint first; not on main networks.")
@click.option("--endpoint", help="RPC endpoint (default: the one in config.toml, else the network's).")
@click.option(
    "--notice-period", type=click.IntRange(60, 30 * 86_400), default=86_400, show_default=True, help="Seconds."
)
@click.option("--real-money", is_flag=True, help="Needed for main networks.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--password-file", type=click.Path(path_type=Path, exists=True), help="File with the key's password.")
@click.pass_obj
@catches
def deploy(
    shell: Shell, name: str, token: str | None, test_token: bool, endpoint: str | None, notice_period: int,
    real_money: bool, yes: bool, password_file: Path | None,
) -> None:  # fmt: skip
    """Put the cheque vault on a network, with this node's key. Nothing that exists is changed.

    Shows each fee first and asks. It prints the lines for config.toml at the end.
    """
    from node.deploying import Deployer  # the adapters, only where they are needed
    from node.rails import check_real_money

    network = load_network(name)
    check_real_money(network, {network.name} if real_money else (), "add")
    chosen = _rail(shell, network, token, endpoint)
    secret = keystore.open_keystore(shell.paths.keystore, password("Password", file=password_file))
    native = Token(network.native, network.native_decimals)

    def confirm(call: Call, fee: Fee) -> None:
        if yes:
            return
        if not sys.stdin.isatty():
            raise CliError("this spends money and nobody can be asked", "--yes if you mean it")
        click.confirm(
            f"{network.label}: {call.text}, fee at most {format_amount(fee.total, native)}?", abort=True, err=True
        )

    deployer = Deployer(network, chosen, secret.key(), confirm)
    made = asyncio.run(deployer.deploy(test_token=test_token, notice_period=notice_period))
    found: dict[str, Any] = {
        one.contract: {
            "address": deployer.chain.name(one.address),
            "transaction": one.transaction.hex(),
            "fee": str(one.fee),
        }
        for one in made
    }

    def show() -> None:
        say = shell.console.print
        for one in made:
            say(f"{one.contract:12} {deployer.chain.name(one.address)}  fee {format_amount(one.fee, native)}")
        say(f"\n[rail.{network.name}]")
        for key, contract in (("token", "TestBTT"), ("vault", "ChequeVault")):
            if contract in found:
                say(f"{key} = {json.dumps(found[contract]['address'])}")

    shell.show(found, show)


def _rail(shell: Shell, network: Network, token: str | None, endpoint: str | None) -> RailSettings:
    """config.toml's settings of this network, where there are any, with what was given on the command line."""
    rails = load_settings(shell.paths.config).rail if shell.paths.config.exists() else {}
    known = rails.get(network.name, RailSettings()).model_dump(exclude={"tokens", "vault"})
    known |= {"token": token} if token else {}
    known |= {"endpoints": (endpoint,)} if endpoint else {}
    try:
        return RailSettings.model_validate(known)
    except ValidationError as error:
        raise ConfigError(one_line(error)) from None


COMMANDS = (contracts,)
