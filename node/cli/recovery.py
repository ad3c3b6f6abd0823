"""`bttnode recover`: what this wallet stores, on a machine that has nothing but its words."""

from __future__ import annotations

import time
from typing import Any

import click
from rich.progress import BarColumn, Progress, TextColumn

from node.cli.client import INCOMPLETE, CliError
from node.cli.context import Shell, catches
from node.cli.storage import day
from wallet.amount import format_amount, format_size

POLL = 0.5
SHOWN = 20
"""Contracts that are listed one by one; `--json` has them all."""


@click.command()
@click.option("--yes", is_flag=True, help="Do not ask whether the other machine is gone.")
@click.pass_obj
@catches
def recover(shell: Shell, yes: bool) -> None:
    """Find again what this wallet stores, with nothing but its words.

    The contracts are read from the chain, what they are about from their hosts. This node then looks after it all: it
    audits, pays, repairs and renews. May be repeated: it adds what was not found before.
    """
    if not yes:
        question = (
            "two machines that look after the same objects pay twice: is the other one gone, or its node stopped?"
        )
        if not click.confirm(question, err=True):
            raise CliError("nothing was changed", "a single object comes back with `bttnode restore MANIFEST`")
    found = _wait(shell, shell.client.post("/v1/recovery"))
    shell.show(found, lambda: _show(shell, found))
    silent = sum(each["silent"] for each in found["objects"])
    if found["faults"] or found["lost"] or silent:
        missing = silent + len(found["lost"])
        raise CliError(
            found["faults"][0] if found["faults"] else f"the hosts of {missing} contracts have not told all",
            "the node asks silent hosts of what it found by itself; `bttnode recover` again adds the rest",
            INCOMPLETE,
        )


def _wait(shell: Shell, status: dict[str, Any]) -> dict[str, Any]:
    columns = (TextColumn("{task.description}", markup=False), BarColumn())
    with Progress(*columns, console=shell.console, transient=True, disable=shell.as_json) as progress:
        task = progress.add_task(status["doing"], total=None)
        while not status["finished"]:
            progress.update(task, description=status["doing"], completed=status["done"], total=status["total"] or None)
            time.sleep(POLL)
            status = shell.client.get("/v1/recovery")
    return status


def _show(shell: Shell, found: dict[str, Any]) -> None:
    say = shell.console.print
    for each in found["objects"]:
        known = "" if each["new"] else "  (known here)"
        silent = f", {each['silent']} contracts with hosts that do not answer" if each["silent"] else ""
        enough = "" if each["shards"] >= each["k"] else ": too few to restore it now"
        say(f"{each['id']}  {each['name']}  {format_size(each['size'])}{known}")
        say(f"    {each['shards']} of {each['n']} shards can be asked for, {each['k']} are needed{enough}{silent}")
    for lost in found["lost"][:SHOWN]:
        locked = format_amount(int(lost["escrow"]))
        say(f"contract {lost['contract'][:12]}, until {day(lost['until'])}, {locked} locked: {lost['why']}")
        say(f"    host {lost['host']}")
    if len(found["lost"]) > SHOWN:
        say(f"and {len(found['lost']) - SHOWN} more contracts: see --json")
    for fault in found["faults"]:
        say(fault)
    if found["objects"]:
        say("this node looks after them from now on: run no other node with the same words")
        say("`bttnode restore ID -o PATH` brings one back, `bttnode stored` shows how they are")
    elif not (found["lost"] or found["faults"]):
        say("this wallet has no storage contract in force")


COMMANDS = (recover,)
