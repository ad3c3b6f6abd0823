"""What a download may cost, shown before, and what it did cost, shown after: `bttnode bill`, and both ends of `get`."""

from __future__ import annotations

import time
from typing import Any

import click

from node.cli.client import torrent_path
from node.cli.context import Shell, catches
from wallet.amount import format_amount, format_price, format_size

POLL = 0.25
ASK_WAIT = 2.0
"""Seconds for which `get` waits for a first seller's price before it shows what is known."""


def foreseen(shell: Shell, torrent: str) -> dict[str, Any]:
    """The estimate, as soon as a seller is known, or there is nothing to buy, or nobody has come in time."""
    end = time.monotonic() + ASK_WAIT
    while True:
        found: dict[str, Any] = shell.client.get(torrent_path(torrent, "estimate"))
        settled = found["sellers"] or found["size"] == 0 or int(found["max_price"]) == 0
        if settled or time.monotonic() >= end:
            return found
        time.sleep(POLL)


def show_estimate(shell: Shell, estimate: dict[str, Any]) -> None:
    """Before: what it may cost and how long it takes, or honestly that nobody knows yet."""
    say, size, price = shell.console.print, estimate["size"], int(estimate["max_price"])
    if size == 0:
        return
    say("estimate")
    say(f"  missing     {'not known before the metadata is here' if size is None else format_size(size)}")
    for line in _cost(estimate, size, price) if price else ["  cost        nothing: buying is off (--max-price)"]:
        say(line)
    rate = estimate["wanted_rate"]
    if rate:
        taken = _duration(estimate["wanted_ms"] // 1000)
        say(f"  time        {taken} at the wanted {format_size(rate)}/s, if sellers have that much")
    else:
        say("  time        as fast as sellers and your line are")


def _cost(estimate: dict[str, Any], size: int | None, price: int) -> list[str]:
    limit = None if estimate["budget"] is None else int(estimate["budget"])
    lines = [f"  your price  {format_price(price)} at most"]
    if estimate["sellers"]:
        lines.append(f"  sellers     {estimate['sellers']} connected within that price")
    else:
        lines.append("  sellers     none known yet, so no price is known either")
    if size is None:
        lines.append(f"  cost        {'not known yet' if limit is None else f'at most {format_amount(limit)}'}")
        return lines
    most = format_amount(int(estimate["highest_cost"]))
    if estimate["lowest_cost"] is None:
        lines.append(f"  cost        at most {most}")
    else:
        lines.append(f"  cost        {format_amount(int(estimate['lowest_cost']))} at the lowest ask, at most {most}")
    if not estimate["covered"]:
        lines.append("              your limits do not pay for all of it at your price: the rest comes free, or slower")
    return lines


def show_bill(shell: Shell, bill: dict[str, Any]) -> None:
    """After: who was paid how much for what."""
    say = shell.console.print
    for line in bill["lines"]:
        bought = f"{format_size(line['bytes'])} at {format_price(int(line['price']))}"
        say(f"  seller      {line['seller']} on {line['rail']}: {bought}, {format_amount(int(line['amount']))}")
    if bill["lines"]:
        say(f"  bought      {format_size(bill['bytes'])} at {format_price(int(bill['price']))} on average")
    say(f"  free        {format_size(bill['free_bytes'])}")
    say(f"  cost        {format_amount(int(bill['amount']))}")
    say(f"  paid        {format_amount(int(bill['paid']))}{'' if bill['settled'] else ' (a receipt is still missing)'}")
    if int(bill["netted"]):
        say(f"  netted      {format_amount(int(bill['netted']))} (its sellers owe us as much)")
    if int(bill["due"]):
        say(f"  still owed  {format_amount(int(bill['due']))} (paid when the seller is met again)")


def _duration(seconds: int) -> str:
    """3725 → '1h02m'."""
    minutes, rest = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours}h{minutes:02d}m"
    return f"{minutes}m{rest:02d}s" if minutes else f"{rest}s"


@click.command()
@click.argument("torrent")
@click.pass_obj
@catches
def bill(shell: Shell, torrent: str) -> None:
    """What a torrent has cost so far, seller by seller."""
    found = shell.client.get(torrent_path(torrent, "bill"))

    def show() -> None:
        if found["finished"]:
            taken = f"done in {_duration(found['finished'] - found['started'])}"
        else:
            taken = "not complete yet"
        shell.console.print(f"{found['name']}: {taken}")
        show_bill(shell, found)

    shell.show(found, show)


COMMANDS = (bill,)
