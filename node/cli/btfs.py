"""Commands for BTFS's cheques on BTTC: taken from BTFS peers, cashed, and issued on a vault of ours."""

from __future__ import annotations

import datetime
import sys
from pathlib import Path
from typing import Any

import click

from node.cli.client import CliError
from node.cli.context import Shell, catches
from node.cli.money import DRY_RUN, RAIL, YES, amount, confirm
from wallet.btfs.wire import MAX_WIRE

IN_BOOKS = "`bttnode --json btfs cheques` has every cheque that was issued"
"""What to do where an issued cheque did not arrive."""


@click.group()
def btfs() -> None:
    """Cheques of BTFS hosts and renters, drawn on BTFS's vaults on BTTC."""


@btfs.command("receive")
@click.argument("file", type=click.Path(path_type=Path, allow_dash=True))
@RAIL
@click.pass_obj
@catches
def receive(shell: Shell, file: Path, rail: str | None) -> None:
    """Take the cheque in FILE (JSON as BTFS peers exchange it; - is standard input), after checking it on the chain."""
    found = shell.client.post("/v1/btfs/receive", {"cheque": _read(file), "rail": rail})
    shell.show(found, lambda: shell.console.print(f"the cheque on {found['vault']} adds {amount(found, 'gain')}"))


def _read(file: Path) -> str:
    if str(file) == "-":
        raw = sys.stdin.buffer.read(MAX_WIRE + 1)
    else:
        with file.open("rb") as opened:
            raw = opened.read(MAX_WIRE + 1)
    if len(raw) > MAX_WIRE:
        raise CliError(f"{file} is no BTFS cheque: it has more than {MAX_WIRE} bytes")
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        text = ""
    if not text.strip():
        raise CliError(f"{file} is no BTFS cheque: it holds no text")
    return text


@btfs.command("cheques")
@RAIL
@click.pass_obj
@catches
def cheques(shell: Shell, rail: str | None) -> None:
    """The latest cheque of each vault, beneficiary and token, received and issued."""
    rows = shell.client.get("/v1/btfs/cheques" + (f"?rail={rail}" if rail else ""))

    def show() -> None:
        say = shell.console.print
        for row in rows:
            when = f"{datetime.datetime.fromtimestamp(row['time']):%Y-%m-%d %H:%M}"
            if row["role"] == "payer":
                say(f"{when}  received {amount(row, 'cumulative')} in all, {amount(row, 'cashed')} cashed")
            else:
                say(f"{when}  issued {amount(row, 'cumulative')} in all to {row['beneficiary']}")
            say(f"{'':16}  {row['rail']}, vault {row['vault']}", style="dim")
        if not rows:
            say("no BTFS cheques yet: `bttnode btfs receive FILE` takes one")

    shell.show(rows, show)


@btfs.command("cash")
@click.argument("vault", required=False)
@RAIL
@DRY_RUN
@YES
@click.pass_obj
@catches
def cash(shell: Shell, vault: str | None, rail: str | None, dry_run: bool, yes: bool) -> None:
    """Cash the cheques on VAULT, or on all vaults, into the wallet. The fees are bound by what was shown."""
    body = {"vault": vault, "rail": rail}
    plan = shell.client.post("/v1/btfs/cash", {**body, "dry_run": True})
    cashable = [line for line in plan["cheques"] if line["fee"] is not None]
    if dry_run or not cashable:
        shell.show(plan, lambda: _show_cashing(shell, plan))
        return
    if not yes:
        confirm(lambda: _show_cashing(shell, plan), "--yes if you mean it, --dry-run to look first")
    found = shell.client.post("/v1/btfs/cash", {**body, "max_fee": str(2 * int(plan["fee"]))})
    shell.show(found, lambda: _show_cashing(shell, found))
    for line in found["cheques"]:
        if line["fee"] is not None and line["transaction"] is None:
            raise CliError(f"not cashed on {line['vault']}: {line['note']}")


def _show_cashing(shell: Shell, found: dict[str, Any]) -> None:
    say = shell.console.print
    say(found["label"], style="bold")
    for line in found["cheques"]:
        done = line["transaction"]
        if done:
            say(f"  {line['vault']}  paid {amount(line, 'paid')}, {done['link'] or done['hash']}")
        else:
            say(f"  {line['vault']}  {amount(line, 'payout')} of {amount(line, 'due')}")
        if line["note"]:
            say(f"    {line['note']}", style="yellow")
    if not found["cheques"]:
        say("  there is nothing to cash")
    elif not any(line["transaction"] for line in found["cheques"]):
        say(f"  fee at most {amount(found, 'fee', 'fee_symbol', 'fee_decimals')}")


@btfs.command("issue")
@click.argument("vault")
@click.argument("beneficiary")
@click.argument("amount_text", metavar="AMOUNT")
@click.option("--token", help="Contract of another token than WBTT; it must be among [rail] tokens.")
@click.option("-o", "--output", type=click.Path(path_type=Path), help="New file for the cheque; else it is printed.")
@RAIL
@YES
@click.pass_obj
@catches
def issue(
    shell: Shell,
    vault: str,
    beneficiary: str,
    amount_text: str,
    token: str | None,
    output: Path | None,
    rail: str | None,
    yes: bool,
) -> None:
    """A cheque on our VAULT that pays BENEFICIARY so much more than all earlier ones, within your spend limits."""
    if output is not None and output.exists():
        raise CliError(f"{output} exists already", "choose another name")
    if not yes:
        summary = f"a cheque over {amount_text} more on {vault} to {beneficiary}"
        confirm(lambda: shell.console.print(summary), "--yes if you mean it")
    body = {"vault": vault, "beneficiary": beneficiary, "amount": amount_text, "token": token, "rail": rail}
    found = shell.client.post("/v1/btfs/issue", body)
    if output is not None:
        try:
            with output.open("x", encoding="utf-8") as file:
                file.write(found["cheque"] + "\n")
        except OSError as error:
            raise CliError(f"the cheque was issued, but {output}: {error.strerror or error}", IN_BOOKS) from None
        shell.show(found, lambda: shell.console.print(f"the cheque is in {output}: give it to {beneficiary}"))
        return
    shell.show(found, lambda: click.echo(found["cheque"]))


COMMANDS = (btfs,)
