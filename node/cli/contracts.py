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
from wallet.amount import Token, format_amount, parse_amount
from wallet.chains.base import Call, Fee

_BOND = {False: "200", True: "20000000"}
"""Whole BTT, on BTTC and on TRON: twice the fee of an answer with its 16 KiB (`contracts/GAS.md`)."""


@click.group()
def contracts() -> None:
    """The contracts that cheques settle with and storage is rented by."""


@contracts.command("deploy")
@click.option("--network", "name", required=True, help=f"One of {', '.join(NAMES)}.")
@click.option("--token", help="The token that cheques are worth (default: the network's BTT).")
@click.option("--test-token", is_flag=True, help="Make a token that anybody can mint first; not on main networks.")
@click.option("--endpoint", help="RPC endpoint (default: the one in config.toml, else the network's).")
@click.option(
    "--notice-period", type=click.IntRange(60, 30 * 86_400), default=86_400, show_default=True, help="Seconds."
)
@click.option(
    "--challenge-bond", metavar="AMOUNT", help="Lost by who challenges a storage host for nothing (default: by rail)."
)
@click.option(
    "--answer-period",
    type=click.IntRange(60, 365 * 86_400),
    default=86_400,
    show_default=True,
    help="Seconds a storage host has to answer a challenge.",
)
@click.option(
    "--min-stake", metavar="AMOUNT", default="1000000", show_default=True, help="What a storage host puts down."
)
@click.option("--real-money", is_flag=True, help="Needed for main networks.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--password-file", type=click.Path(path_type=Path, exists=True), help="File with the key's password.")
@click.pass_obj
@catches
def deploy(
    shell: Shell, name: str, token: str | None, test_token: bool, endpoint: str | None, notice_period: int,
    challenge_bond: str | None, answer_period: int, min_stake: str, real_money: bool, yes: bool,
    password_file: Path | None,
) -> None:  # fmt: skip
    """Put the contracts that a network has none of there, with this node's key. Nothing that exists is changed.

    The vault of cheques, and the market and registry of rented storage. Shows each fee first and asks. It prints the
    lines for config.toml at the end.
    """
    from node.deploying import SETTINGS, Deployer, Parameters  # the adapters, only where they are needed
    from node.rails import check_real_money
    from wallet.chains.abi import MARKET, REGISTRY

    network = load_network(name)
    check_real_money(network, {network.name} if real_money else (), "add")
    chosen = _rail(shell, network, token, endpoint)
    unit = Token(network.token_symbol, network.token_decimals)
    parameters = Parameters(
        notice_period=notice_period,
        challenge_bond=parse_amount(challenge_bond or _BOND[network.is_tron], unit),
        answer_period=answer_period,
        min_stake=parse_amount(min_stake, unit),
    )
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
    made = asyncio.run(deployer.deploy(parameters, test_token=test_token))
    found: dict[str, Any] = {
        one.contract: {
            "address": deployer.chain.name(one.address),
            "transaction": one.transaction.hex(),
            "block": one.block,
            "fee": str(one.fee),
        }
        for one in made
    }

    def show() -> None:
        say = shell.console.print
        for one in made:
            say(f"{one.contract:13} {deployer.chain.name(one.address)}  fee {format_amount(one.fee, native)}")
        say(f"\n[rail.{network.name}]")
        for contract, key in SETTINGS.items():
            if contract in found:
                say(f"{key} = {json.dumps(found[contract]['address'])}")
        if storage := [one.block for one in made if one.contract in (MARKET, REGISTRY)]:
            say(f"storage_since = {min(storage)}")

    shell.show(found, show)


def _rail(shell: Shell, network: Network, token: str | None, endpoint: str | None) -> RailSettings:
    """config.toml's settings of this network, where there are any, with what was given on the command line.

    Contracts over another token than the one there are no longer of use.
    """
    rails = load_settings(shell.paths.config).rail if shell.paths.config.exists() else {}
    over = {"vault", "storage_market", "host_registry"} if token else set()
    known = rails.get(network.name, RailSettings()).model_dump(exclude={"tokens", *over})
    known |= {"token": token} if token else {}
    known |= {"endpoints": (endpoint,)} if endpoint else {}
    try:
        return RailSettings.model_validate(known)
    except ValidationError as error:
        raise ConfigError(one_line(error)) from None


COMMANDS = (contracts,)
