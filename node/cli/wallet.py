"""Commands around money: wallet, vault, accounts, settle."""

from __future__ import annotations

import datetime
import secrets
import sys
from pathlib import Path
from typing import Any

import click
import segno
from rich.table import Table

from node.cli.client import CliError
from node.cli.context import AMOUNT, Shell, catches, password
from node.cli.money import COMMANDS as MONEY_COMMANDS
from node.cli.money import RAIL, YES, amount, earnings, quoted, reputation, show_transaction
from wallet import keystore
from wallet.address import Address
from wallet.amount import format_amount, format_size
from wallet.keys import TRON_PATH, PrivateKey, new_mnemonic

_PASSWORD = click.option(
    "--password-file", type=click.Path(path_type=Path, exists=True), help="File with the key's password."
)


@click.group()
def wallet() -> None:
    """The key and its balances."""


@wallet.command("show")
@click.pass_obj
@catches
def show_wallet(shell: Shell) -> None:
    """Address, deposits and cheques, as the running node sees them."""
    found = shell.client.get("/v1/wallet")

    def show() -> None:
        say = shell.console.print
        say(f"{'address':14}{found['address']}")
        say(f"{'on TRON':14}{found['tron']}")
        say(f"{'spent':14}{format_amount(int(found['spent_total']))}, today {format_amount(int(found['spent_today']))}")
        for rail in found["rails"]:
            say(f"\n{rail['label']}", style="bold")
            if rail["fault"]:
                say(f"  {rail['fault']}", style="yellow")
            for asset in rail["assets"]:
                say(f"  {asset['symbol']:12}{amount(asset, 'amount')}")
            for name, text in _deposit(rail):
                say(f"  {name:12}{text}")

    shell.show(found, show)


def _deposit(rail: dict[str, Any]) -> list[tuple[str, str]]:
    def of(key: str) -> str:
        return amount(rail, key, "token", "token_decimals")

    rows = [
        ("deposit", f"{of('deposit')}, free {of('deposit_free')}, locked {of('locked')}"),
        ("cheques", f"given {of('cheques_given')} in all, held {of('cheques_held')} not cashed yet"),
    ]
    if rail["notice"] not in (None, "0"):
        ready = datetime.datetime.fromtimestamp(rail["notice_until"]).strftime("%Y-%m-%d %H:%M")
        rows.append(("notice", f"{of('notice')}, can be withdrawn from {ready} on"))
    return rows


@wallet.command("address")
@click.option("--qr", type=click.Choice(["evm", "tron"]), help="Draw this form as a QR code on the terminal.")
@click.pass_obj
@catches
def address(shell: Shell, qr: str | None) -> None:
    """The address in both forms. Needs no running node and no password."""
    found = keystore.address_of(shell.paths.keystore)

    def show() -> None:
        if qr:
            segno.make(found.tron if qr == "tron" else found.evm, micro=False).terminal(compact=True)
        shell.console.print(f"{found.evm}\n{found.tron}  (TRON form of the same key)")

    shell.show({"evm": found.evm, "tron": found.tron}, show)


@wallet.command("new")
@click.option("--words", type=click.Choice(["12", "24"]), default="12", show_default=True, help="Mnemonic length.")
@_PASSWORD
@click.pass_obj
@catches
def new(shell: Shell, words: str, password_file: Path | None) -> None:
    """Make a key in the node's folder, without settings (`bttnode init` makes both)."""
    mnemonic = new_mnemonic(secrets.token_bytes(16 if words == "12" else 32))
    made = _create(shell, keystore.Secret(mnemonic=mnemonic), password_file)

    def show() -> None:
        shell.console.print(f"address   {made.evm}  (TRON {made.tron})")
        shell.console.print("\nWrite these words down; they are the only way to get your money back:\n")
        shell.console.print(f"  {mnemonic}\n", style="bold")

    shell.show({"address": made.evm, "tron": made.tron, "mnemonic": mnemonic}, show)


@wallet.command("import")
@click.option("--private-key", is_flag=True, help="A bare key of 64 hex digits instead of a mnemonic.")
@_PASSWORD
@click.pass_obj
@catches
def import_key(shell: Shell, private_key: bool, password_file: Path | None) -> None:
    """Use a mnemonic or key you have. It is asked for, or read from standard input: never from the command line."""
    what = "Private key" if private_key else "Mnemonic"
    text = click.prompt(what, hide_input=True, err=True) if sys.stdin.isatty() else sys.stdin.readline()
    if private_key:
        secret = keystore.Secret(private_key=PrivateKey.from_hex(text.strip()).secret)
    else:
        secret = keystore.Secret(mnemonic=text.strip())
    made = _create(shell, secret, password_file)
    shell.show(
        {"address": made.evm, "tron": made.tron},
        lambda: shell.console.print(f"address   {made.evm}  (TRON {made.tron})"),
    )


def _create(shell: Shell, secret: keystore.Secret, password_file: Path | None) -> Address:
    path = shell.paths.keystore
    if path.exists():
        raise CliError(f"{path} is here already", "move it away first if you mean another key")
    secret.key()
    chosen = password("Password for the key", confirm=True, file=password_file)
    shell.paths.home.mkdir(mode=0o700, parents=True, exist_ok=True)
    return keystore.create(path, secret, chosen)


@wallet.command("backup")
@_PASSWORD
@click.pass_obj
@catches
def backup(shell: Shell, password_file: Path | None) -> None:
    """Show the mnemonic. Asks for the password."""
    secret = keystore.open_keystore(shell.paths.keystore, password("Password", file=password_file))
    shell.show(
        {"mnemonic": secret.mnemonic, "tron_path": TRON_PATH.format(index=0)},
        lambda: shell.console.print(secret.mnemonic or "this key file holds a bare key, no mnemonic"),
    )


@wallet.command("password")
@click.pass_obj
@catches
def change_password(shell: Shell) -> None:
    """Change the key file's password."""
    old = password("Old password")
    new = str(click.prompt("New password", hide_input=True, confirmation_prompt=True, err=True))
    keystore.change_password(shell.paths.keystore, old, new)
    shell.show({"changed": True}, lambda: shell.console.print("changed"))


@wallet.command("reconcile")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.pass_obj
@catches
def reconcile(shell: Shell, yes: bool) -> None:
    """Go on with a restored database. Each payee's receipt then shows what was signed before anything new is."""
    from node.store import accept_rollback  # loads SQLAlchemy

    if not yes:
        click.confirm("The newer database is lost for good, and this one shall be used?", abort=True, err=True)
    accounts = accept_rollback(shell.paths.database, shell.paths.highwater)
    shell.show(
        {"accounts": accounts},
        lambda: shell.console.print(f"accepted; {accounts} payees will be asked for their receipts first"),
    )


@click.group()
def vault() -> None:
    """The deposit that covers your cheques."""


@vault.command("deposit")
@click.argument("amount_units", metavar="AMOUNT", type=AMOUNT)
@RAIL
@click.pass_obj
@catches
def deposit(shell: Shell, amount_units: int, rail: str | None) -> None:
    """Move AMOUNT (BTT) from the wallet into the vault."""
    show_transaction(shell, shell.client.post("/v1/vault/deposit", {"amount": str(amount_units), "rail": rail}))


@vault.command("notice")
@click.argument("amount_units", metavar="AMOUNT", type=AMOUNT)
@RAIL
@click.pass_obj
@catches
def notice(shell: Shell, amount_units: int, rail: str | None) -> None:
    """Announce the withdrawal of AMOUNT (BTT). Cheques can still draw on it until it is withdrawn."""
    show_transaction(shell, shell.client.post("/v1/vault/notice", {"amount": str(amount_units), "rail": rail}))


@vault.command("withdraw")
@RAIL
@click.pass_obj
@catches
def withdraw(shell: Shell, rail: str | None) -> None:
    """Take out what was announced, once the notice period is over."""
    show_transaction(shell, shell.client.post("/v1/vault/withdraw", {"rail": rail}))


@vault.command("authorise")
@click.argument("key")
@click.argument("cap", type=AMOUNT)
@RAIL
@YES
@click.pass_obj
@catches
def authorise(shell: Shell, key: str, cap: int, rail: str | None, yes: bool) -> None:
    """Let the address KEY sign cheques on this deposit, up to CAP (BTT) in all.

    So the node that pays can hold a key that owns nothing, while the key of the deposit stays elsewhere.
    """
    quoted(shell, "/v1/vault/authorise", {"rail": rail, "key": key, "cap": str(cap)}, yes=yes)


@vault.command("revoke")
@click.argument("key")
@RAIL
@YES
@click.pass_obj
@catches
def revoke(shell: Shell, key: str, rail: str | None, yes: bool) -> None:
    """Let the address KEY sign no more cheques. What it has signed can still be cashed for the notice period."""
    quoted(shell, "/v1/vault/revoke", {"rail": rail, "key": key}, yes=yes)


@click.command()
@click.pass_obj
@catches
def accounts(shell: Shell) -> None:
    """Who owes whom: every payer and payee this node knows."""
    rows = shell.client.get("/v1/accounts")

    def show() -> None:
        table = Table(
            "who", "address", "rail", "bytes", "metered", "in cheques", "netted", "unpaid", "cashed", box=None
        )
        for r in rows:
            table.add_row(
                "pays us" if r["role"] == "payer" else "we pay",
                r["address"],
                r["rail"],
                format_size(r["bytes"]),
                *(format_amount(int(r[key])) for key in ("metered", "cheques", "netted", "unpaid", "cashed")),
            )
        if rows:
            shell.console.print(table)
        else:
            shell.console.print("no trade yet")

    shell.show(rows, show)


@click.command()
@click.option("--dry-run", is_flag=True, help="Only show what would be cashed, and the fee.")
@RAIL
@click.pass_obj
@catches
def settle(shell: Shell, dry_run: bool, rail: str | None) -> None:
    """Cash the cheques this node holds, on all rails unless one is named."""
    found = shell.client.post("/v1/settle", {"dry_run": dry_run, "rail": rail})

    def show() -> None:
        for row in found["rails"]:
            _show_plan(shell, row)

    shell.show(found, show)


def _show_plan(shell: Shell, row: dict[str, Any]) -> None:
    say = shell.console.print
    say(row["label"], style="bold")
    for cheque in (*row["cheques"], *row["held_back"]):
        both = {**row, **cheque}
        note = f", {cheque['note']}" if cheque["note"] else ""
        say(f"  {cheque['payer']}  {amount(both, 'payout')} of {amount(both, 'uncashed')}{note}")
    if not row["cheques"]:
        say("  no cheques to cash")
        return
    share = f", {row['fee_share']:.2%} of it" if row["fee_share"] is not None else ""
    fee = amount(row, "fee", "fee_symbol", "fee_decimals")
    say(f"  worth {amount(row, 'value')}, fee at most {fee}{share}")
    if int(row["bounces"]):
        say(f"  not covered: {amount(row, 'bounces')}", style="yellow")
    for why in row["why"]:
        say(f"  {why}")
    for done in row["transactions"]:
        say(f"  cashed, fee {amount(done, 'fee', 'fee_symbol', 'fee_decimals')}  {done['link'] or done['hash']}")


for command in MONEY_COMMANDS:
    wallet.add_command(command)

COMMANDS = (wallet, vault, accounts, earnings, reputation, settle)
