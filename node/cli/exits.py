"""The command with which a host leaves contracts before their end."""

from __future__ import annotations

import datetime
from typing import Any

import click

from node.cli.client import CliError
from node.cli.context import DURATION, Shell, catches
from node.cli.money import DRY_RUN, amount

SHOWN = 20
"""Contracts listed one by one before the owner is asked."""


@click.command("exit")
@click.option("--contract", metavar="ID", help="Leave this contract (the beginning of its id will do).")
@click.option("--volume", metavar="ID", help="Leave all contracts with shards on this volume, and drain it.")
@click.option("--all", "every", is_flag=True, help="Leave all contracts, and drain every volume.")
@click.option("--within", type=DURATION, default="3d", show_default=True, help="Time for hand-overs, which are free.")
@click.option("--free", is_flag=True, help="Only hand over: never pay for leaving alone.")
@click.option("--stay", is_flag=True, help="Take the wish back, where nothing has happened yet.")
@DRY_RUN
@click.option("--yes", is_flag=True, help="Agree to the cost without being asked.")
@click.pass_obj
@catches
def leave_early(
    shell: Shell,
    contract: str | None,
    volume: str | None,
    every: bool,
    within: int,
    free: bool,
    stay: bool,
    dry_run: bool,
    yes: bool,
) -> None:
    """Leave contracts before they end.

    Each renter is asked to let the shard go to another host, which is free. What is not handed over in time is left
    alone: the shard is kept to the end of the next epoch, and a part of the collateral is lost.
    """
    which: dict[str, Any] = {"contract": contract, "volume": volume, "every": every}
    if sum((contract is not None, volume is not None, every)) != 1:
        raise CliError("which contracts?", "bttnode host exit --contract ID, --volume ID or --all")
    if stay:
        kept = shell.client.post("/v1/host/exits/stay", which)
        shell.show(kept, lambda: shell.console.print(f"{len(kept['contracts'])} contracts are kept after all"))
        return
    wish = which | {"within": None if free else within}
    plan = shell.client.post("/v1/host/exits/plan", wish)
    if dry_run:
        shell.show(plan, lambda: _show(shell, plan))
        return
    if not shell.as_json:
        _show(shell, plan)
    elif not yes:
        raise CliError("nothing was changed: the cost has to be agreed to", "--dry-run shows it, --yes agrees to it")
    if not yes and not click.confirm("leave them?", err=True):
        raise CliError("nothing was changed")
    done = shell.client.post("/v1/host/exits", wish | {"most": plan["most"]})
    text = f"{len(done['departures'])} contracts are being left: `bttnode host contracts` shows how far it is"
    shell.show(done, lambda: shell.console.print(text))


def _show(shell: Shell, plan: dict[str, Any]) -> None:
    say, lines = shell.console.print, plan["departures"]
    for line in lines[:SHOWN]:
        until = f"{datetime.datetime.fromtimestamp(line['until']):%Y-%m-%d %H:%M}"
        alone = f"alone for at most {amount(line, 'fee')}, kept until {until}"
        say(f"{line['id'][:12]}  handed over for nothing; {alone if line['alone'] else f'else kept until {until}'}")
    if len(lines) > SHOWN:
        say(f"and {len(lines) - SHOWN} more")
    for rail, most in plan["most"].items():
        token = next((line for line in lines if line["rail"] == rail), None)
        if token is not None:
            say(f"{rail}: at most {amount(token | {'fee': most}, 'fee')} in all")
    if not lines:
        say("no contract is there to be left")
