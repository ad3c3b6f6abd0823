"""The demo's table at the end."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rich.console import Console
from rich.table import Table

from node.demo.storage_bill import show_storage
from wallet.amount import BTT, MIB, Token, format_amount, format_price

Row = dict[str, Any]


def _amount(name: str) -> Callable[[Row], str]:
    return lambda row: format_amount(int(row[name]), BTT)


def _copies(row: Row) -> str:
    return "equal" if set(row["copies"].values()) == {row["file_sha256"]} else "DIFFERENT"


def _price(amount: int, size: int) -> str:
    """What `size` bytes that were paid for cost on average; the division rounds down."""
    return format_price(amount * MIB // size) if size else "nothing was paid for"


LINES: tuple[tuple[str, Callable[[Row], str]], ...] = (
    ("bytes paid for", lambda row: f"{row['bytes_paid']:,}"),
    ("at a mean price of", lambda row: _price(int(row["owed"]), row["bytes_paid"])),
    ("owed by the payer", _amount("owed")),
    ("paid by cheque", _amount("paid")),
    ("earned by the seeder", _amount("earned")),
    ("cashed on chain", _amount("paid_out")),
    ("fee of cashing", lambda row: format_amount(int(row["fee"]), Token(row["fee_symbol"], row["fee_decimals"]))),
    ("payer's deposit before", _amount("payer_deposit_before")),
    ("payer's deposit after", _amount("payer_deposit_after")),
    ("seeder's wallet before", _amount("seller_balance_before")),
    ("seeder's wallet after", _amount("seller_balance_after")),
    ("the payer's copy", _copies),
)


def report(console: Console, found: dict[str, Any]) -> None:
    """The races, one column for each payer's books, and the verdict."""
    console.print()
    console.print(_races(found["races"]))
    bound = max(race["bound"] for race in found["races"])
    console.print(
        f"of two leechers one can be {bound:g} times sooner at most: a free share of the line is never sold\n"
    )
    rows = found["rails"]
    table = Table("the bill", *(f"{row['payer']} on {row['rail']}" for row in rows), box=None)
    for title, text in LINES:
        table.add_row(title, *map(text, rows))
    console.print(table)
    seconds = ", ".join(f"{name} {value:g} s" for name, value in found["seconds"].items())
    console.print(f"the file was complete after: {seconds}")
    if "storage" in found:
        console.print()
        show_storage(console, found["storage"])
        console.print()
    for fault in found["faults"]:
        console.print(fault, style="red")
    verdict = ("reconciled to the unit", "green") if found["reconciled"] else ("NOT reconciled", "red")
    console.print(f"{verdict[0]} on each rail: owed by payer = earned by seeder = cashed on chain", style=verdict[1])
    if found["reconciled"] and "storage" in found:
        console.print(
            "and of storage: spent by renter = got by hosts, and what is left for all of them = what the market holds",
            style=verdict[1],
        )


def _races(races: list[Row]) -> Table:
    table = Table("the races", "paid", "mean price", "done after", "sooner", box=None)
    for race in races:
        for lane in race["lanes"]:
            spent = int(lane["spent"])
            table.add_row(
                lane["name"],
                format_amount(spent) if lane["pays"] else "nothing",
                _price(spent, lane["bought"]) if lane["pays"] else "",
                f"{lane['seconds']:.2f} s",
                f"{race['factor']:.2f} times" if lane["pays"] else "",
            )
    return table
