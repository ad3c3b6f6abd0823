"""The demo's table at the end."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rich.console import Console
from rich.table import Table

from wallet.amount import BTT, Token, format_amount

Row = dict[str, Any]


def _amount(name: str) -> Callable[[Row], str]:
    return lambda row: format_amount(int(row[name]), BTT)


def _copies(row: Row) -> str:
    return "equal" if set(row["copies"].values()) == {row["file_sha256"]} else "DIFFERENT"


LINES: tuple[tuple[str, Callable[[Row], str]], ...] = (
    ("bytes paid for", lambda row: f"{row['bytes_paid']:,}"),
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
    """One column for each payer, then the times and the verdict."""
    rows = found["rails"]
    table = Table("the bill", *(f"{row['payer']} on {row['rail']}" for row in rows), box=None)
    for title, text in LINES:
        table.add_row(title, *map(text, rows))
    console.print(table)
    seconds = ", ".join(f"{name} {value:g} s" for name, value in found["seconds"].items())
    console.print(f"complete after: {seconds}; nobody's file differs" if not found["faults"] else f"after: {seconds}")
    for fault in found["faults"]:
        console.print(fault, style="red")
    verdict = ("reconciled to the unit", "green") if found["reconciled"] else ("NOT reconciled", "red")
    console.print(f"{verdict[0]} on each rail: owed by payer = earned by seeder = cashed on chain", style=verdict[1])
