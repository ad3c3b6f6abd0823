"""Commands for what audits have found: verdicts listed, their bundles written to files, and an auditor's taken over."""

from __future__ import annotations

import datetime
from base64 import b64decode, b64encode
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import click

from node.cli.client import CliError
from node.cli.context import Shell, catches
from node.storage.evidence import MAX_BYTES

NAME = click.argument("name", required=False, default="")
FAULTS = click.option("--faults", is_flag=True, help="Only silence and wrong answers.")


@click.command("list")
@NAME
@FAULTS
@click.pass_obj
@catches
def list_verdicts(shell: Shell, name: str, faults: bool) -> None:
    """Verdicts of audits, the newest first; of NAME, the beginning of an object's or a contract's id."""
    found = _verdicts(shell, name, faults)

    def show() -> None:
        for row in found["verdicts"]:
            what = f"contract {row['contract'][:12]}, epoch {row['epoch']}, {row['object'] or 'for ' + row['renter']}"
            kept = "evidence kept" if row["evidence"] else "no evidence"
            shell.console.print(f"{_second(row['at'])}  {row['verdict']:6}  {what}")
            shell.console.print(f"{'':19}  {row['reason']}; {row['host']}, {kept}", style="dim")
        if not found["verdicts"]:
            shell.console.print("no verdict is kept")

    shell.show(found, show)


@click.command("export")
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
@NAME
@FAULTS
@click.pass_obj
@catches
def export(shell: Shell, folder: Path, name: str, faults: bool) -> None:
    """Write the evidence that is kept to FOLDER, one file for each audit: for the renter, or for anybody to check."""
    rows = [row for row in _verdicts(shell, name, faults)["verdicts"] if row["evidence"]]
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for row in rows:
        found = shell.client.get(f"/v1/evidence/{row['contract']}/{row['at']}")
        file = folder / f"{row['contract'][:12]}-{row['at']}-{row['verdict']}"
        file.write_bytes(b64decode(found["bundle"]))
        files.append(str(file))
    shell.show({"files": files}, lambda: shell.console.print(f"{len(files)} bundles are in {folder}"))


@click.command("take")
@click.argument("files", type=click.Path(path_type=Path, dir_okay=False, exists=True), nargs=-1, required=True)
@click.pass_obj
@catches
def take(shell: Shell, files: tuple[Path, ...]) -> None:
    """Take FILES over from the auditor of what is stored here; a host that answered wrongly is replaced."""
    taken = []
    for file in files:
        with file.open("rb") as opened:
            data = opened.read(MAX_BYTES + 1)
        if len(data) > MAX_BYTES:
            raise CliError(f"{file} is no evidence: it has more than {MAX_BYTES} bytes")
        taken.append(shell.client.post("/v1/evidence", {"bundle": b64encode(data).decode()}))

    def show() -> None:
        for row in taken:
            what = f"contract {row['contract'][:12]} of {row['object']}"
            shell.console.print(f"{row['verdict']:6}  {what}: {row['reason']}")

    shell.show({"verdicts": taken}, show)


def _verdicts(shell: Shell, name: str, faults: bool) -> dict[str, Any]:
    found: dict[str, Any] = shell.client.get("/v1/evidence?" + urlencode({"name": name, "faults": int(faults)}))
    return found


def _second(at: int) -> str:
    """A Unix second in the user's time; what an auditor signed may be beyond every calendar."""
    try:
        return f"{datetime.datetime.fromtimestamp(at):%Y-%m-%d %H:%M:%S}"
    except (OverflowError, ValueError, OSError):
        return f"second {at}"


COMMANDS = (list_verdicts, export, take)
