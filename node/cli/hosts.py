"""The command that shows whom one may rent storage from."""

from __future__ import annotations

from typing import Any

import click

from node.cli.context import SIZE, Shell, catches
from node.cli.storage import DAILY_PRICE
from wallet.amount import BTT, format_amount, format_size

_SEEN = (("kept", "kept"), ("silent", "silent"), ("wrong", "wrong"), ("broken", "broke"), ("declined", "declined"))


@click.command("hosts")
@click.option("--size", type=SIZE, default="64MiB", show_default=True, help="Of a shard: who lacks the room is marked.")
@click.option("--days", type=click.IntRange(1, 1825), help="A term: those that do not rent for it are marked.")
@click.option("--max-price", type=DAILY_PRICE, help="All in, such as 10/GiB/day: dearer ones are marked.")
@click.option("--rail", help="Of this network only.")
@click.pass_obj
@catches
def hosts(shell: Shell, size: int, days: int | None, max_price: int | None, rail: str | None) -> None:
    """Hosts one may rent from: prices, free space, a score out of 1000, and why one is avoided."""
    body: dict[str, Any] = {
        "length": size,
        "days": days,
        "max_price": None if max_price is None else str(max_price),
        "rail": rail,
    }
    found = shell.client.post("/v1/hosts", body)

    def show() -> None:
        for row in found["hosts"]:
            _show(shell, row)
        if not found["hosts"]:
            shell.console.print("no host is known: none is in the registry, or the chain does not answer yet")

    shell.show(found, show)


def _show(shell: Shell, row: dict[str, Any]) -> None:
    say, prices, seen = shell.console.print, row["prices"], row["experience"]
    offer = "no answer"
    if prices is not None:
        offer = f"{format_amount(int(prices['storage']), BTT)} per GiB and day, {format_size(prices['free'])} free"
    say(f"{row['score']:4}  {row['host']}  {offer}")
    counts = [f"{name} {seen[key]}" for key, name in _SEEN if seen[key]] if seen else []
    say(f"      {row['url']}, {row['rail']}; {', '.join(counts) or 'never tried'}", style="dim")
    if row["avoided"]:
        say(f"      avoided: {row['avoided']}")


COMMANDS = (hosts,)
