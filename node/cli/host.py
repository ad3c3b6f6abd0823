"""Commands for renting out disk: volumes, contracts, and what they bring."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import click

from node.cli.client import INCOMPLETE, CliError
from node.cli.context import AMOUNT, SIZE, Shell, catches
from node.cli.exits import leave_early
from node.cli.money import RAIL, amount, show_transaction
from wallet.amount import format_size

VOLUME = click.argument("volume")


@click.group()
def host() -> None:
    """Rent out disk and earn for it."""


@host.command("status")
@click.pass_obj
@catches
def status(shell: Shell) -> None:
    """Prices, contracts and earnings on every rail."""
    rows = shell.client.get("/v1/host")

    def show() -> None:
        say = shell.console.print
        for row in rows:
            price = amount(row, "storage_price")
            say(f"{row['rail']}: {price} per GiB and day, terms of {row['min_epochs']} to {row['max_epochs']} epochs")
            say(f"  {row['contracts']} contracts, {format_size(row['stored'])} stored, {format_size(row['free'])} free")
            say(f"  earned {_money(row, 'earned')}, of which {_money(row, 'claimed')} have come in")
            if row["why"]:
                reasons = "1 reason" if len(row["why"]) == 1 else f"{len(row['why'])} reasons"
                say(f"  {reasons} why it is not more: `bttnode host why`")

    shell.show(rows, show)


@host.command("why")
@click.pass_obj
@catches
def why(shell: Shell) -> None:
    """Why this node does not earn, or not more."""
    rows = {row["rail"]: row["why"] for row in shell.client.get("/v1/host")}

    def show() -> None:
        for rail, reasons in rows.items():
            for reason in reasons:
                shell.console.print(f"{rail}: {reason}")
        if not any(rows.values()):
            shell.console.print("nothing is wrong: every running contract is served and paid")

    shell.show(rows, show)


@host.command("contracts")
@click.option("--all", "every", is_flag=True, help="Also those that have ended.")
@click.pass_obj
@catches
def contracts(shell: Shell, every: bool) -> None:
    """The contracts, the newest first."""
    ends = ("completed", "failed", "cancelled", "lapsed")
    rows = [row for row in shell.client.get("/v1/host/contracts") if every or row["state"] not in ends]

    def show() -> None:
        say = shell.console.print
        for row in rows:
            end = f"{datetime.datetime.fromtimestamp(row['end']):%Y-%m-%d %H:%M}"
            say(f"{row['id'][:12]}  {row['state']:10} {format_size(row['length']):>10}  until {end}, {row['rail']}")
            paid = f"{row['voucher']} vouched for, {row['paid']} paid, of {row['epochs']} epochs"
            say(f"{'':12}  {paid}; earned {_money(row, 'earned')}, {row['audits']} audits answered", style="dim")
            if row["leaving"] and row["state"] not in ends:
                say(f"{'':12}  to be handed over, or left", style="dim")
            if row["note"]:
                say(f"{'':12}  {row['note']}", style="dim")
        if not rows:
            say("no contracts: `bttnode host why` says why")

    shell.show(rows, show)


@host.command("earnings")
@click.pass_obj
@catches
def earnings(shell: Shell) -> None:
    """What hosting has brought and still brings, by rail."""
    rows = shell.client.get("/v1/host")

    def show() -> None:
        say = shell.console.print
        for row in rows:
            say(f"{row['rail']}")
            for key, text in (
                ("earned", "earned"),
                ("claimed", "  paid on chain, final"),
                ("pending", "  vouched for, not paid yet"),
                ("expected", "still to come from running contracts"),
                ("bonds", "won by answering challenges"),
                ("at_stake", "collateral at stake"),
                ("lost", "collateral lost"),
            ):
                say(f"  {text:38} {_money(row, key):>24}")

    shell.show(rows, show)


@host.command("deposit")
@click.argument("amount_units", metavar="AMOUNT", type=AMOUNT)
@RAIL
@click.pass_obj
@catches
def deposit(shell: Shell, amount_units: int, rail: str | None) -> None:
    """Move AMOUNT (BTT) from the wallet into the market, for collateral."""
    show_transaction(shell, shell.client.post("/v1/host/deposit", {"amount": str(amount_units), "rail": rail}))


@host.command("withdraw")
@click.argument("amount_units", metavar="AMOUNT", type=AMOUNT)
@RAIL
@click.pass_obj
@catches
def withdraw(shell: Shell, amount_units: int, rail: str | None) -> None:
    """Move AMOUNT (BTT) of what is not locked from the market into the wallet."""
    show_transaction(shell, shell.client.post("/v1/host/withdraw", {"amount": str(amount_units), "rail": rail}))


@host.command("announce")
@click.argument("url")
@click.option("--stake", type=AMOUNT, help="What shall be staked in all (default: the least that is taken).")
@RAIL
@click.pass_obj
@catches
def announce(shell: Shell, url: str, stake: int | None, rail: str | None) -> None:
    """Tell renters that this node is at URL, such as http://host.example:6882."""
    body = {"url": url, "stake": None if stake is None else str(stake), "rail": rail}
    show_transaction(shell, shell.client.post("/v1/host/announce", body))


@host.command("leave")
@RAIL
@click.pass_obj
@catches
def leave(shell: Shell, rail: str | None) -> None:
    """Take this node off the list of hosts; its contracts run on."""
    show_transaction(shell, shell.client.post("/v1/host/leave", {"rail": rail}))


@host.command("volumes")
@click.pass_obj
@catches
def volumes(shell: Shell) -> None:
    """All volumes and their state."""
    rows = shell.client.get("/v1/host/volumes")

    def show() -> None:
        for row in rows:
            _show_volume(shell, row)
        if not rows:
            shell.console.print("no volumes: `bttnode host volume add FOLDER --quota SIZE`")

    shell.show(rows, show)


@host.group("volume")
def volume() -> None:
    """Change one volume."""


@volume.command("add")
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False, exists=True))
@click.option("--quota", required=True, type=SIZE, help='The most that shards may take, such as "500 GiB".')
@click.pass_obj
@catches
def add(shell: Shell, folder: Path, quota: int) -> None:
    """Make an empty FOLDER a volume, or take one back that was removed."""
    row = shell.client.post("/v1/host/volumes", {"path": str(folder.absolute()), "quota": quota})
    shell.show(row, lambda: _show_volume(shell, row))


@volume.command("resize")
@VOLUME
@click.option("--quota", required=True, type=SIZE, help="The most that shards may take.")
@click.pass_obj
@catches
def resize(shell: Shell, volume: str, quota: int) -> None:
    """Give VOLUME another quota; what is there stays."""
    row = shell.client.post(_path(volume), {"quota": quota})
    shell.show(row, lambda: _show_volume(shell, row))


@volume.command("drain")
@VOLUME
@click.option("--off", is_flag=True, help="Take shards again.")
@click.pass_obj
@catches
def drain(shell: Shell, volume: str, off: bool) -> None:
    """Take nothing new on VOLUME; its shards leave as their contracts end (`host exit --volume`: before)."""
    row = shell.client.post(_path(volume), {"draining": not off})

    def show() -> None:
        _show_volume(shell, row)
        if row["shards"] and not off:
            text = f"its shards leave as their contracts end; `bttnode host exit --volume {row['id']}` hands them over"
            shell.console.print(text, style="dim")

    shell.show(row, show)


@volume.command("check")
@VOLUME
@click.pass_obj
@catches
def check(shell: Shell, volume: str) -> None:
    """The disk was seen to: trust VOLUME again and read every damaged shard anew."""
    found = shell.client.post(_path(volume) + "/check", {})

    def show() -> None:
        _show_volume(shell, found["volume"])
        shell.console.print(f"{len(found['healed'])} damaged shards are right again")

    shell.show(found, show)
    if found["volume"]["state"] in ("missing", "sick"):
        raise CliError(f"the volume is still {found['volume']['state']}", found["volume"]["reason"], INCOMPLETE)


@volume.command("remove")
@VOLUME
@click.pass_obj
@catches
def remove(shell: Shell, volume: str) -> None:
    """Forget VOLUME, which must be empty; the folder stays."""
    found = shell.client.delete(_path(volume))
    shell.show(found, lambda: shell.console.print(f"removed {volume}"))


def _path(volume: str) -> str:
    if not volume.isalnum():
        raise CliError(f"{volume!r} is no volume", "bttnode host volumes shows all volumes and their ids")
    return f"/v1/host/volumes/{quote(volume, safe='')}"


def _money(row: dict[str, Any], key: str) -> str:
    return amount(row["money"] | {"symbol": row["symbol"], "decimals": row["decimals"]}, key)


def _show_volume(shell: Shell, row: dict[str, Any]) -> None:
    say = shell.console.print
    say(f"{row['id']}  {row['state']:9}  {row['path']}")
    used = f"{format_size(row['used'])} of {format_size(row['quota'])} used by {row['shards']} shards"
    say(f"{'':{len(row['id'])}}  {used}, room for {format_size(row['room'])}", style="dim")
    if row["reason"]:
        say(f"{'':{len(row['id'])}}  {row['reason']}")


host.add_command(leave_early)

COMMANDS = (host,)
