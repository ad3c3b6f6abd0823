"""The storage story's tables at the end: each host on each rail, and the renter's money."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rich.console import Console
from rich.table import Column, Table

from wallet.amount import format_amount

CENT = 10**16
"""What the hosts' table cuts amounts to, in units of BTT."""

Row = dict[str, Any]

LINES: tuple[tuple[str, Callable[[Row], int]], ...] = (
    ("put in by the renter", lambda row: int(row["put_in"])),
    ("paid to the hosts", lambda row: int(row["paid"])),
    ("collateral from hosts that failed", lambda row: int(row["lost"])),
    ("left for the renter to withdraw", lambda row: int(row["balance"])),
    ("put in by the hosts", lambda row: sum(int(host["put_in"]) for host in row["hosts"])),
    ("left for the hosts to withdraw", lambda row: sum(int(host["balance"]) for host in row["hosts"])),
    ("tokens the market holds", lambda row: int(row["market_tokens"])),
)


def cents(amount: int) -> str:
    """Cut to hundredths: enough to follow a story by."""
    return format_amount(amount - amount % CENT)


def show_storage(console: Console, found: Row) -> None:
    """`found`: of the report, the section of this story."""
    rails = found["rails"]
    each = [title for row in rails for title in (f"on {row['rail'].removeprefix('devnet-')}", "paid", "lost")]
    table = Table(*(Column(title, no_wrap=True) for title in ("the hosts", "", *each)), box=None)
    for rows in zip(*(row["hosts"] for row in rails), strict=True):
        cells = [text for row in rows for text in _cells(row)]
        table.add_row(rows[0]["name"], rows[0]["fate"], *cells)
    console.print(table)
    console.print()
    money = Table("the rent", *(f"on {row['rail']}" for row in rails), box=None)
    for title, figure in LINES:
        money.add_row(title, *(format_amount(figure(row)) for row in rails))
    console.print(money)
    console.print("took: " + ", ".join(f"{name} {value:.0f} s" for name, value in found["seconds"].items()))


def _cells(row: Row) -> tuple[str, str, str]:
    lost = int(row["lost"])
    return f"shard {row['shard']}", cents(int(row["paid"])), cents(lost) if lost else ""
