"""Commands that show or move the user's money: balances, transfers, wrapping, history, journal, limits."""

from __future__ import annotations

import datetime
import secrets
import sys
from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

import click
from rich.table import Table

from node.cli.client import CliError
from node.cli.context import Shell, catches
from wallet.amount import Token, format_amount, format_size, parse_amount

RAIL = click.option("--rail", help="Which of the configured networks; may be left out where there is only one.")
YES = click.option("--yes", is_flag=True, help="Do not ask.")
_MAX_FEE = click.option("--max-fee", help="Refuse if the fee could be higher, such as 5 (in the coin that pays fees).")
DRY_RUN = click.option("--dry-run", is_flag=True, help="Only show what it would do and cost.")


def amount(row: dict[str, Any], key: str, symbol: str = "symbol", decimals: str = "decimals") -> str:
    """One amount of an answer, with the token the answer names; a dash where it is not known."""
    return "-" if row[key] is None else format_amount(int(row[key]), Token(row[symbol], row[decimals]))


@click.command("balance")
@click.pass_obj
@catches
def balance(shell: Shell) -> None:
    """What the key holds on every configured network."""
    found = shell.client.get("/v1/wallet")

    def show() -> None:
        say = shell.console.print
        for rail in found["rails"]:
            say(rail["label"], style="bold")
            if rail["fault"]:
                say(f"  {rail['fault']}", style="yellow")
            for asset in rail["assets"]:
                say(f"  {amount(asset, 'amount'):32}{asset['contract'] or asset['kind']}")
            if rail["deposit"] is not None:
                say(f"  {amount(rail, 'deposit', 'token', 'token_decimals'):32}deposit in the vault {rail['vault']}")

    shell.show(found["rails"], show)


@click.command("send")
@click.argument("amount_text", metavar="AMOUNT")
@click.argument("to")
@click.option("--asset", help="Symbol, such as TRX; may be left out where AMOUNT names it: 12.5 TRX in quotes.")
@RAIL
@_MAX_FEE
@DRY_RUN
@YES
@click.pass_obj
@catches
def send(
    shell: Shell, amount_text: str, to: str, asset: str | None, rail: str | None, max_fee: str | None, dry_run: bool,
    yes: bool,
) -> None:  # fmt: skip
    """Send AMOUNT (such as "12.5 BTT") to the address TO. Shows the fee first and asks."""
    symbol = asset or amount_text.strip().lstrip("0123456789.,_ ")
    if not symbol or symbol.lower() in ("unit", "units"):
        raise CliError(f"{amount_text}: of which asset?", 'write "12.5 BTT", or give --asset')
    body = {"rail": rail, "asset": symbol, "to": to, "amount": amount_text}
    quoted(shell, "/v1/wallet/send", body, max_fee=max_fee, dry_run=dry_run, yes=yes)


def _wrapping(name: str, explain: str, *, unwrap: bool) -> click.Command:
    @click.command(name, help=explain)
    @click.argument("amount_text", metavar="AMOUNT")
    @RAIL
    @_MAX_FEE
    @DRY_RUN
    @YES
    @click.pass_obj
    @catches
    def command(
        shell: Shell, amount_text: str, rail: str | None, max_fee: str | None, dry_run: bool, yes: bool
    ) -> None:
        body = {"rail": rail, "amount": amount_text, "unwrap": unwrap}
        quoted(shell, "/v1/wallet/wrap", body, max_fee=max_fee, dry_run=dry_run, yes=yes)

    return command


wrap = _wrapping("wrap", "Turn AMOUNT of native coins into their token, one to one (BTT to WBTT).", unwrap=False)
unwrap = _wrapping("unwrap", "Turn AMOUNT of the token back into native coins.", unwrap=True)


def quoted(
    shell: Shell, path: str, body: dict[str, Any], *, max_fee: str | None = None, dry_run: bool = False, yes: bool
) -> None:
    """Quote, ask, do. What is done is bound by the quote: twice its fee, unless the user said otherwise."""
    quote = shell.client.post(path, {**body, "dry_run": True})
    native = Token(quote["fee_symbol"], quote["fee_decimals"])
    if dry_run:
        shell.show(quote, lambda: _show_quote(shell, quote))
        return
    if not yes:
        confirm(lambda: _show_quote(shell, quote), "--yes if you mean it, --dry-run to look first")
    allowed = parse_amount(max_fee, native) if max_fee else int(quote["fee"]) * 2
    found = shell.client.post(path, {**body, "max_fee": str(allowed)}, key=secrets.token_hex(16))
    show_transaction(shell, found)


def confirm(show: Callable[[], None], hint: str) -> None:
    """Let the user decide on what `show` prints. Raises `CliError` with the hint where nobody can be asked."""
    if not sys.stdin.isatty():
        raise CliError("this moves money and nobody can be asked", hint)
    show()
    click.confirm("Do it?", abort=True, err=True)


def _show_quote(shell: Shell, quote: dict[str, Any]) -> None:
    say = shell.console.print
    say(f"network   {quote['label']}")
    say(f"          {quote['text']}")
    if int(quote["amount"]):
        left = format_amount(int(quote["balance"]) - int(quote["amount"]), Token(quote["symbol"], quote["decimals"]))
        say(f"balance   {amount(quote, 'balance')}, then {left}")
    say(f"fee       at most {amount(quote, 'fee', 'fee_symbol', 'fee_decimals')}")


def show_transaction(shell: Shell, found: dict[str, Any]) -> None:
    """A finished transaction, as all commands report it."""

    def show() -> None:
        fee = amount(found, "fee", "fee_symbol", "fee_decimals")
        shell.console.print(f"{found['text']}: done, fee {fee}\n{found['link'] or found['hash']}")

    shell.show(found, show)


@click.command("history")
@RAIL
@click.option("--limit", type=click.IntRange(1, 1000), default=20, show_default=True, help="How many lines.")
@click.pass_obj
@catches
def history(shell: Shell, rail: str | None, limit: int) -> None:
    """Our transactions, and the tokens that came in lately; newest first."""
    rails = [rail] if rail else [found["rail"] for found in shell.client.get("/v1/wallet")["rails"]]
    rows = {name: shell.client.get(f"/v1/wallet/history?rail={name}&limit={limit}") for name in rails}

    def show() -> None:
        say = shell.console.print
        for name, lines in rows.items():
            say(name if lines else f"{name}: nothing yet", style="bold")
            for line in lines:
                when = f"{datetime.datetime.fromtimestamp(line['time']):%Y-%m-%d %H:%M}" if line["time"] else ""
                state = line["state"] + (f": {line['reason']}" if line["reason"] else "")
                say(f"  {when:16}  {line['text']}")
                block = f", block {line['block']}" if line["block"] else ""
                say(f"  {'':16}  {state}{block} {line['transaction']}", style="dim")

    shell.show(rows, show)


@click.command("journal")
@RAIL
@click.option("--limit", type=click.IntRange(1, 1000), default=20, show_default=True, help="How many lines.")
@click.pass_obj
@catches
def journal(shell: Shell, rail: str | None, limit: int) -> None:
    """The books: what moved between your accounts, newest first, and what each account holds."""
    wanted = urlencode({"limit": limit} | ({"rail": rail} if rail else {}))
    found = shell.client.get(f"/v1/wallet/journal?{wanted}")

    def show() -> None:
        for line in found["entries"]:
            day = f"{datetime.datetime.fromtimestamp(line['at'], datetime.UTC):%Y-%m-%d}"
            times = f" ({line['count']} times)" if line["count"] > 1 else ""
            shell.console.print(f"{day}  {amount(line, 'amount')} from {line['credit']} to {line['debit']}")
            shell.console.print(f"            {line['memo']}{times}, {line['rail']}", style="dim")
        balances = Table("rail", "account", "balance", box=None)
        for line in found["accounts"]:
            units, token = int(line["balance"]), Token(line["symbol"], line["decimals"])
            sign = "-" if units < 0 else ""
            balances.add_row(line["rail"], line["account"], sign + format_amount(abs(units), token))
        shell.console.print(balances)

    shell.show(found, show)


@click.command("cancel")
@click.argument("transaction")
@RAIL
@click.pass_obj
@catches
def cancel(shell: Shell, transaction: str, rail: str | None) -> None:
    """Give up TRANSACTION (the beginning of its id) if it has not taken effect; `wallet history` tells."""
    found = shell.client.post("/v1/wallet/cancel", {"transaction": transaction, "rail": rail})
    shell.show(found, lambda: shell.console.print(f"{found['text']}: {found['reason'] or found['state']}"))


@click.command("earnings")
@click.option("--history", is_flag=True, help="Every payout with its transaction, newest first.")
@RAIL
@click.pass_obj
@catches
def earnings(shell: Shell, history: bool, rail: str | None) -> None:
    """What payers have signed to us and what became of it, by receipts: pending, cashed, final, bounced."""
    if history:
        _show_payouts(shell, shell.client.get("/v1/earnings/history" + (f"?rail={rail}" if rail else "")))
        return
    rows = [row for row in shell.client.get("/v1/earnings") if rail in (None, row["rail"])]

    def show() -> None:
        table = Table("rail", "payer", "received", "pending", "in a block", "final", "bounced", box=None)
        for row in rows:
            for line in ({**row, "payer": "all"}, *row["payers"]):
                figures = (
                    format_amount(int(line[key])) for key in ("received", "pending", "cashed", "final", "bounced")
                )
                table.add_row(row["rail"], line["payer"], *figures)
        if rows:
            shell.console.print(table)
        else:
            shell.console.print("no cheques yet: peers that pay appear in `bttnode peers`")

    shell.show(rows, show)


def _show_payouts(shell: Shell, found: dict[str, Any]) -> None:
    def show() -> None:
        say = shell.console.print
        for line in found["payouts"]:
            when = f"{datetime.datetime.fromtimestamp(line['time']):%Y-%m-%d %H:%M}"
            bounced = f", bounced {format_amount(int(line['bounced']))}" if int(line["bounced"]) else ""
            say(f"{when}  {format_amount(int(line['amount']))} from {line['payer']}{bounced}")
            fee = amount(line, "fee", "fee_symbol", "fee_decimals") if line["fee_symbol"] else line["fee"]
            say(f"{'':16}  {line['rail']}, block {line['block']}, its fee {fee}, {line['link'] or line['transaction']}")
        if not found["payouts"]:
            say("nothing is final yet: `bttnode settle --dry-run` shows what could be cashed")

    shell.show(found, show)


@click.command("reputation")
@RAIL
@click.pass_obj
@catches
def reputation(shell: Shell, rail: str | None) -> None:
    """What each counterparty did to us, and its score (500: a stranger). Fades with a half-life of 30 days."""
    rows = [row for row in shell.client.get("/v1/reputation") if rail in (None, row["rail"])]

    def show() -> None:
        say = shell.console.print
        for row in rows:
            say(f"{row['address']}  {row['rail']}", style="bold")
            seen = f"{datetime.datetime.fromtimestamp(row['last_seen']):%Y-%m-%d %H:%M}"
            say(f"  score {row['score']} of 1000, last seen {seen}")
            if row["barred_until"]:
                until = f"{datetime.datetime.fromtimestamp(row['barred_until']):%Y-%m-%d %H:%M}"
                say(f"  {row['bounces']} cheques bounced: no paid service before {until}", style="yellow")
            elif row["bounces"]:
                say(f"  {row['bounces']} cheques bounced", style="yellow")
            size = {key: format_size(int(row[key])) for key in ("delivered", "overcounted", "bought", "unpaid")}
            if "payer" in row["roles"]:
                paid = format_amount(int(row["paid"]))
                say(f"  pays us: {paid} for {size['bought']}, left {size['unpaid']} unpaid")
            if "payee" in row["roles"]:
                failed = f"{row['failed']} pieces failed, {size['overcounted']} over-counted"
                say(f"  we pay: {size['delivered']} delivered, {failed}")
            if int(row["stops"]):
                say(f"  broke off {row['stops']} times by breaking the protocol or its word", style="yellow")
        if not rows:
            say("nobody has paid us or been paid yet")

    shell.show(rows, show)


@click.command("limits")
@click.pass_obj
@catches
def limits(shell: Shell) -> None:
    """What may be spent by cheque ([speed]), storage ([storage]) and transfer ([wallet]), and how much is used up."""
    rows = shell.client.get("/v1/wallet/limits")

    def show() -> None:
        table = Table("setting", "limit", "used", box=None)
        for row in rows:
            limit = "none" if row["limit"] is None else amount(row, "limit")
            table.add_row(
                f"{row['setting']} ({row['symbol']})", limit, "" if row["used"] is None else amount(row, "used")
            )
        shell.console.print(table)
        shell.console.print("change them in config.toml, then start the node again")

    shell.show(rows, show)


COMMANDS = (balance, send, wrap, unwrap, history, journal, cancel, limits)
