"""Commands around money: wallet, vault, accounts, settle."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
from rich.table import Table

from node.cli.context import AMOUNT, Shell, catches, password
from wallet import keystore
from wallet.amount import format_amount, format_size
from wallet.keys import TRON_PATH


@click.group()
def wallet() -> None:
    """The key and its balances."""


@wallet.command("show")
@click.pass_obj
@catches
def show_wallet(shell: Shell) -> None:
    """Address and balances, as the running node sees them."""
    found = shell.client.get("/v1/wallet")

    def show() -> None:
        def amount(name: str) -> str:
            return format_amount(int(found[name]))

        free = "not known" if found["deposit_free"] is None else amount("deposit_free")
        rows = [
            ("address", found["address"]),
            ("on TRON", found["tron"]),
            ("network", found["network"]),
            ("for fees", amount("native")),
            (found["token"], amount("token_balance")),
            ("deposit", f"{amount('deposit')}, free {free}, locked {amount('locked')}"),
            ("cheques given", f"{amount('issued_uncashed')} not cashed yet"),
            ("cheques held", f"{amount('received_uncashed')} not cashed yet"),
            ("spent", f"{amount('spent_total')}, today {amount('spent_today')}"),
        ]
        if int(found["notice"]):
            rows.append(("notice", f"{amount('notice')}, can be withdrawn at Unix time {found['notice_until']}"))
        for name, value in rows:
            shell.console.print(f"{name:14}{value}")

    shell.show(found, show)


@wallet.command("address")
@click.pass_obj
@catches
def address(shell: Shell) -> None:
    """The address in both forms. Needs no running node and no password."""
    found = keystore.address_of(shell.paths.keystore)
    shell.show(
        {"evm": found.evm, "tron": found.tron},
        lambda: shell.console.print(f"{found.evm}\n{found.tron}  (TRON form of the same key)"),
    )


@wallet.command("backup")
@click.option("--password-file", type=click.Path(path_type=Path, exists=True))
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


def _transaction(shell: Shell, found: dict[str, Any]) -> None:
    shell.show(
        found,
        lambda: shell.console.print(f"{found['text']}: done, fee {format_amount(int(found['fee']))}\n{found['hash']}"),
    )


@vault.command("deposit")
@click.argument("amount", type=AMOUNT)
@click.pass_obj
@catches
def deposit(shell: Shell, amount: int) -> None:
    """Move AMOUNT (BTT) from the wallet into the vault."""
    _transaction(shell, shell.client.post("/v1/vault/deposit", {"amount": str(amount)}))


@vault.command("notice")
@click.argument("amount", type=AMOUNT)
@click.pass_obj
@catches
def notice(shell: Shell, amount: int) -> None:
    """Announce the withdrawal of AMOUNT (BTT). Cheques can still draw on it until it is withdrawn."""
    _transaction(shell, shell.client.post("/v1/vault/notice", {"amount": str(amount)}))


@vault.command("withdraw")
@click.pass_obj
@catches
def withdraw(shell: Shell) -> None:
    """Take out what was announced, once the notice period is over."""
    _transaction(shell, shell.client.post("/v1/vault/withdraw"))


@click.command()
@click.pass_obj
@catches
def accounts(shell: Shell) -> None:
    """Who owes whom: every payer and payee this node knows."""
    rows = shell.client.get("/v1/accounts")

    def show() -> None:
        table = Table("who", "address", "rail", "bytes", "metered", "in cheques", "unpaid", "cashed", box=None)
        for r in rows:
            table.add_row(
                "pays us" if r["role"] == "payer" else "we pay",
                r["address"],
                r["rail"],
                format_size(r["bytes"]),
                *(format_amount(int(r[key])) for key in ("metered", "cheques", "unpaid", "cashed")),
            )
        if rows:
            shell.console.print(table)
        else:
            shell.console.print("no trade yet")

    shell.show(rows, show)


@click.command()
@click.option("--dry-run", is_flag=True, help="Only show what would be cashed, and the fee.")
@click.pass_obj
@catches
def settle(shell: Shell, dry_run: bool) -> None:
    """Cash the cheques this node holds."""
    found = shell.client.post("/v1/settle", {"dry_run": dry_run})

    def show() -> None:
        if not found["cheques"]:
            shell.console.print("no cheques to cash")
            return
        value, fee = int(found["value"]), int(found["fee"])
        share = f"{fee * 1000 // value / 10:g}% of it" if value else ""
        shell.console.print(
            f"{len(found['cheques'])} cheques worth {format_amount(value)}, fee at most {format_amount(fee)} {share}"
        )
        if found.get("transaction"):
            done = found["transaction"]
            shell.console.print(f"cashed, fee {format_amount(int(done['fee']))}\n{done['hash']}")

    shell.show(found, show)


COMMANDS = (wallet, vault, accounts, settle)
