"""Commands around torrents: create, add, get, peers, pause, resume, remove."""

from __future__ import annotations

import asyncio
import base64
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import click
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn
from rich.table import Table

from node.cli.bills import foreseen, show_bill, show_estimate
from node.cli.client import INCOMPLETE, CliError, printable, torrent_path
from node.cli.context import AMOUNT, DURATION, PRICE, SIZE, Shell, catches
from node.ports.engine import CreateTorrent, EngineSettings, TorrentFormat
from wallet.amount import format_amount, format_price, format_size

POLL = 0.5
MAX_TORRENT = 64 * 1024 * 1024
SETTLE_WAIT = 30.0
"""Seconds that `get` waits after the last byte for the last cheque's receipt."""


@click.command()
@click.argument("path", type=click.Path(path_type=Path))
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Torrent file (default: PATH.torrent).")
@click.option("--format", "kind", type=click.Choice([f.value for f in TorrentFormat]), default="hybrid")
@click.option("--piece", type=SIZE, default="0", help="Piece length, a power of two (default: by size).")
@click.option("--tracker", multiple=True, help="Announce URL (may be repeated).")
@click.option("--comment", default="")
@click.option("--private", is_flag=True, help="Peers from the trackers only (BEP 27).")
@click.pass_obj
@catches
def create(
    shell: Shell,
    path: Path,
    output: Path | None,
    kind: str,
    piece: int,
    tracker: tuple[str, ...],
    comment: str,
    private: bool,
) -> None:
    """Make a torrent file from a file or folder. Needs no running node."""
    from node.engine.libtorrent import LibtorrentEngine  # loads the native engine

    engine = LibtorrentEngine(EngineSettings(listen=()))
    target = output or path.with_name(path.name + ".torrent")
    if target.exists():
        raise CliError(f"{target} is here already", "choose another name with -o")
    request = CreateTorrent(
        path=path,
        format=TorrentFormat(kind),
        piece_length=piece or _piece_length(path),
        trackers=tracker,
        comment=comment,
        private=private,
    )
    with Progress(console=shell.console, transient=True, disable=shell.as_json) as progress:
        task = progress.add_task("hashing", total=None)
        data = asyncio.run(
            engine.create(request, lambda done, total: progress.update(task, completed=done, total=total))
        )
    info = engine.inspect(data)
    target.write_bytes(data)
    shell.show(
        {"torrent": str(target), "id": info.id, "v1": info.v1, "v2": info.v2, "bytes": info.total_bytes},
        lambda: shell.console.print(f"{target}: {info.id}, {format_size(info.total_bytes)} in {info.pieces} pieces"),
    )


def _piece_length(path: Path) -> int:
    """A power of two between 256 KiB and 4 MiB, some 4,000 pieces: small enough that a newcomer's credit of 1 MiB
    holds whole pieces up to 4 GiB, since buyers pay per verified piece."""
    size = sum(f.stat().st_size for f in path.rglob("*") if f.is_file()) if path.is_dir() else path.stat().st_size
    length = 256 * 1024
    while length < 4 * 2**20 and size // length > 4096:
        length *= 2
    return length


def _add(
    shell: Shell,
    target: str,
    *,
    output: Path | None,
    seed: bool = False,
    paused: bool = False,
    peers: tuple[str, ...] = (),
    terms: dict[str, Any],
) -> dict[str, Any]:
    body: dict[str, Any] = {"paused": paused, "seed": seed, "peers": [_endpoint(peer) for peer in peers]}
    if target.startswith("magnet:"):
        body["magnet"] = target
    else:
        path = Path(target)
        if not path.is_file():
            raise CliError(f"{target}: no such torrent file", "give a .torrent file or a magnet: link")
        if path.stat().st_size > MAX_TORRENT:
            raise CliError(f"{target}: larger than any torrent file", "is it the data itself? use `bttnode create`")
        body["torrent"] = base64.b64encode(path.read_bytes()).decode()
    if output is not None:
        body["save_path"] = str(output.absolute())
    body |= _terms_body(**terms)
    added: dict[str, Any] = shell.client.post("/v1/torrents", body)
    return added


def _endpoint(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not host or not re.fullmatch("[0-9]{1,5}", port) or not 0 < int(port) < 65536:
        raise CliError(f"{text}: not a peer address", "write it like 192.0.2.7:6881")
    return host.strip("[]"), int(port)


_MAX_PRICE = click.option("--max-price", type=PRICE, help='The most you pay, such as "5/GiB"; 0: nothing.')
_BUDGET = click.option("--budget", type=AMOUNT, help="The most this torrent may cost, in BTT.")
_OUTPUT = click.option("-o", "--output", type=click.Path(path_type=Path), help="Folder for the data.")
_PEER = click.option("--peer", "peers", multiple=True, metavar="HOST:PORT", help="A peer to try (may be repeated).")


_RATE = click.option(
    "--rate",
    type=SIZE,
    help='The rate to bid for, of all sellers together, such as "5 MB" per second; none: all there is.',
)
_STRATEGY = click.option(
    "--strategy",
    type=click.Choice(["highest", "whitepaper", "deadline", "cheapest", "off"]),
    help="How to bid within the limits (default: as config.toml says, or deadline where one is given).",
)
_DEADLINE = click.option("--deadline", type=DURATION, help="Be done in this time, such as 20m, at the least cost.")


def _bidding(command: Callable[..., None]) -> Callable[..., None]:
    """The options that say what a torrent may cost and how to bid."""
    for option in (_DEADLINE, _STRATEGY, _RATE, _BUDGET, _MAX_PRICE):
        command = option(command)
    return command


def _terms_body(
    max_price: int | None, budget: int | None, rate: int | None, strategy: str | None, deadline: int | None
) -> dict[str, Any]:
    if strategy == "deadline" and not deadline:
        raise CliError("the deadline strategy needs a deadline", "such as --deadline 20m")
    return {
        "max_price": None if max_price is None else str(max_price),
        "budget": None if budget is None else str(budget),
        "rate": rate or 0,
        "strategy": strategy,
        "deadline": int(time.time()) + deadline if deadline else None,
    }


@click.command()
@click.argument("target", metavar="FILE.torrent|MAGNET")
@_OUTPUT
@click.option("--seed", is_flag=True, help="The data is in the folder already: seed it at once.")
@click.option("--paused", is_flag=True)
@_bidding
@_PEER
@click.pass_obj
@catches
def add(
    shell: Shell,
    /,
    target: str,
    output: Path | None,
    seed: bool,
    paused: bool,
    peers: tuple[str, ...],
    **terms: Any,
) -> None:
    """Add a torrent to the running node and return at once."""
    added = _add(shell, target, output=output, seed=seed, paused=paused, peers=peers, terms=terms)
    shell.show(added, lambda: shell.console.print(f"added {added['name']} ({added['id'][:8]})"))


@click.command()
@click.argument("target", metavar="FILE.torrent|MAGNET")
@_OUTPUT
@_bidding
@_PEER
@click.option("--timeout", type=float, help="Give up after this many seconds (the node goes on by itself).")
@click.pass_obj
@catches
def get(
    shell: Shell,
    /,
    target: str,
    output: Path | None,
    peers: tuple[str, ...],
    timeout: float | None,
    **terms: Any,
) -> None:
    """Download a torrent: show what it may cost, follow it to the end, show the bill. Ctrl-C leaves it to the node."""
    added = _add(shell, target, output=output, peers=peers, terms=terms)
    started = time.monotonic()
    estimate = foreseen(shell, added["id"])
    if not shell.as_json:
        show_estimate(shell, estimate)
    found = _follow(shell, added["id"], started, timeout)
    seconds = round(time.monotonic() - started, 3)
    result = {**_settled(shell, added["id"]), "seconds": seconds, "estimate": estimate}
    result["bill"] = bill = shell.client.get(torrent_path(added["id"], "bill"))

    def show() -> None:
        mean = format_size(int(found["total_bytes"] / max(seconds, 0.001)))
        size = format_size(found["total_bytes"])
        shell.console.print(f"done {found['name']}: {size} in {seconds:g} s", style="green")
        shell.console.print(f"  mean rate   {mean}/s")
        show_bill(shell, bill)
        shell.console.print(f"  saved in    {found['save_path']}")

    shell.show(result, show)


def _follow(shell: Shell, torrent: str, started: float, timeout: float | None) -> dict[str, Any]:
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        DownloadColumn(binary_units=True),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )
    with Progress(*columns, console=shell.console, transient=True, disable=shell.as_json) as progress:
        task = progress.add_task("", total=None, note="")
        while True:
            found: dict[str, Any] = shell.client.get(f"/v1/torrents/{torrent}")
            note = f"{found['peers']} peers, {format_amount(int(found['spent']))} paid"
            progress.update(
                task,
                description=printable(found["name"][:40]),
                completed=found["done_bytes"],
                total=found["total_bytes"] or None,
                note=note,
            )
            if found["state"] == "seeding":
                return found
            if found["state"] == "error":
                raise CliError(f"{found['name']}: {found['error']}", code=INCOMPLETE)
            if timeout is not None and time.monotonic() - started > timeout:
                raise CliError(
                    f"{found['name']}: not complete after {timeout:g} s ({found['progress'] * 100:.1f}%)",
                    "the node goes on: see `bttnode status`",
                    INCOMPLETE,
                )
            time.sleep(POLL if not shell.as_json else POLL / 4)


def _settled(shell: Shell, torrent: str) -> dict[str, Any]:
    """Wait for the last cheque's receipt, so that the bill is complete."""
    deadline = time.monotonic() + SETTLE_WAIT
    while True:
        found: dict[str, Any] = shell.client.get(f"/v1/torrents/{torrent}")
        if found["settled"] or time.monotonic() > deadline:
            return found
        time.sleep(POLL / 4)


@click.command()
@click.argument("torrent", required=False)
@click.pass_obj
@catches
def peers(shell: Shell, torrent: str | None) -> None:
    """Connections, and what each earns, costs, or why not."""
    rows = shell.client.get("/v1/peers" + (f"?torrent={quote(torrent, safe='')}" if torrent else ""))

    def show() -> None:
        titles = ("peer", "client", "done", "down/s", "up/s", "granted", "selling", "earned", "buying", "owed", "why")
        table = Table(*titles, box=None)
        for r in rows:
            table.add_row(
                f"{r['host']}:{r['port']}",
                r["client"][:20],
                f"{r['progress'] * 100:.0f}%",
                format_size(r["download_rate"]),
                format_size(r["upload_rate"]),
                format_size(r["granted"]) if r["granted"] else "",
                r["selling"],
                format_amount(int(r["earned"])) if int(r["earned"]) else "",
                r["buying"],
                format_amount(int(r["owed"])) if int(r["owed"]) else "",
                r["reason"],
            )
        if rows:
            shell.console.print(table)
        else:
            shell.console.print("no peers")

    shell.show(rows, show)


@click.command()
@click.pass_obj
@catches
def market(shell: Shell) -> None:
    """The latest round of the auction of this node's upload."""
    found = shell.client.get("/v1/market")

    def show() -> None:
        say = shell.console.print
        if not found["capacity"]:
            say("no auction: without [node] upload_limit nothing is scarce; payers are served first, at the reserve")
            return
        capacity, sold = found["capacity"], found["sold"]
        say(f"round     {found['round']}, rule {found['rule']}")
        measured = ", measured" if found["measured"] else ""
        say(f"capacity  {format_size(capacity)}/s{measured}, for sale {format_size(found['for_sale'])}/s")
        say(f"sold      {format_size(sold)}/s at {format_price(int(found['clearing']))}")
        say(f"reserve   {format_price(int(found['reserve']))}")

    shell.show(found, show)


def _action(name: str, done: str, explain: str) -> click.Command:
    @click.command(name=name, help=explain)
    @click.argument("torrent")
    @click.pass_obj
    @catches
    def command(shell: Shell, torrent: str) -> None:
        found = shell.client.post(torrent_path(torrent, name))
        shell.show(found, lambda: shell.console.print(f"{done} {torrent}"))

    return command


pause = _action("pause", "paused", "Stop a torrent; its data stays.")
resume = _action("resume", "resumed", "Start a paused or failed torrent.")


@click.command()
@click.argument("torrent")
@_bidding
@click.pass_obj
@catches
def terms(shell: Shell, /, torrent: str, **terms: Any) -> None:
    """Set what a torrent may cost and how to bid; takes effect at once. What is left out has no limit of its own."""
    found = shell.client.post(torrent_path(torrent, "terms"), _terms_body(**terms))
    shell.show(found, lambda: shell.console.print(f"changed {found['name']}"))


@click.command()
@click.argument("torrent")
@click.option("--files", is_flag=True, help="Delete the data too.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.pass_obj
@catches
def remove(shell: Shell, torrent: str, files: bool, yes: bool) -> None:
    """Remove a torrent from the node; with --files also its data."""
    if files and not yes:
        click.confirm(f"Delete the data of {torrent}?", abort=True, err=True)
    found = shell.client.delete(torrent_path(torrent) + ("?files=1" if files else ""))
    shell.show(found, lambda: shell.console.print(f"removed {torrent}"))


COMMANDS = (create, add, get, peers, market, pause, resume, terms, remove)
