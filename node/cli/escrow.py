"""Commands for our money in the storage markets."""

from __future__ import annotations

import datetime

import click

from node.cli.context import AMOUNT, Shell, catches
from node.cli.money import RAIL, amount, show_transaction


@click.group(invoke_without_command=True)
@click.pass_context
def escrow(context: click.Context) -> None:
    """Money in the storage market: what is free there, locked in contracts, or staked as a host."""
    if context.invoked_subcommand is None:
        context.invoke(show)


@escrow.command("show")
@click.pass_obj
@catches
def show(shell: Shell) -> None:
    """What is there, on every rail (also: `bttnode escrow`)."""
    rows = shell.client.get("/v1/escrow")

    def display() -> None:
        say = shell.console.print
        for row in rows:
            say(f"{row['rail']}")
            say(f"  {'free, can be withdrawn':38} {amount(row, 'free'):>24}")
            say(f"  {'locked in contracts and bonds':38} {amount(row, 'locked'):>24}")
            if int(row["stake"]):
                since = row["stake_from"]
                text = "staked as a host"
                if since is not None:
                    when = datetime.datetime.fromtimestamp(since, datetime.UTC).astimezone()
                    text = f"stake, `escrow reclaim` from {when:%Y-%m-%d %H:%M}"
                say(f"  {text:38} {amount(row, 'stake'):>24}")
        if not rows:
            say("no rail of this node knows a storage market")

    shell.show(rows, display)


@escrow.command("deposit")
@click.argument("amount_units", metavar="AMOUNT", type=AMOUNT)
@RAIL
@click.pass_obj
@catches
def deposit(shell: Shell, amount_units: int, rail: str | None) -> None:
    """Move AMOUNT (BTT) from the wallet into the market. Storing does so by itself, as contracts need it."""
    show_transaction(shell, shell.client.post("/v1/escrow/deposit", {"amount": str(amount_units), "rail": rail}))


@escrow.command("withdraw")
@click.argument("amount_units", metavar="[AMOUNT]", type=AMOUNT, required=False)
@RAIL
@click.pass_obj
@catches
def withdraw(shell: Shell, amount_units: int | None, rail: str | None) -> None:
    """Move AMOUNT (BTT; all where it is left out) of what is free from the market into the wallet."""
    body = {"amount": None if amount_units is None else str(amount_units), "rail": rail}
    show_transaction(shell, shell.client.post("/v1/escrow/withdraw", body))


@escrow.command("reclaim")
@RAIL
@click.pass_obj
@catches
def reclaim(shell: Shell, rail: str | None) -> None:
    """Take the stake back after `bttnode host leave`, when the registry's notice is over."""
    show_transaction(shell, shell.client.post("/v1/escrow/reclaim", {"rail": rail}))


COMMANDS = (escrow,)
