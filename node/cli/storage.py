"""Commands for files on strangers' machines: store, list, verify, renew, forget, restore, and evidence offline."""

from __future__ import annotations

import datetime
import json
import re
import time
from base64 import b64decode, b64encode
from pathlib import Path
from typing import Any
from urllib.parse import quote

import click

from node.cli.client import INCOMPLETE, CliError
from node.cli.context import Shell, catches
from node.cli.verdicts import COMMANDS as VERDICTS
from node.storage.errors import EvidenceError
from node.storage.evidence import MAX_BYTES as MAX_EVIDENCE
from node.storage.evidence import Evidence, check
from node.storage.manifest import MAX_BYTES as MAX_MANIFEST
from wallet.amount import BTT, format_amount, format_size, parse_amount
from wallet.errors import AmountError

POLL = 0.5
MAX_APPOINTMENTS = 1 << 20
NAME = re.compile(r"[0-9a-f]{1,16}\Z")


class _Copies(click.ParamType[tuple[int, int]]):
    """'10/30' → (10, 30)."""

    name = "k/n"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, int]:
        if isinstance(value, tuple):
            return value
        k, _, n = str(value).partition("/")
        if not (k.isdecimal() and n.isdecimal() and len(k) < 4 and len(n) < 4):
            self.fail(f"{str(value)[:20]!r}: write it like 10/30 (any 10 of 30 shards restore it)", param, ctx)
        return int(k), int(n)


class _DailyPrice(click.ParamType[int]):
    """'10 BTT/GiB/day' → units per GiB and day."""

    name = "price"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        amount, *units = (part.strip() for part in str(value).split("/"))
        if units and [unit.lower() for unit in units] != ["gib", "day"]:
            self.fail("write it per GiB and day, such as 10/GiB/day", param, ctx)
        try:
            return parse_amount(amount, BTT)
        except AmountError as error:
            self.fail(str(error), param, ctx)


DAILY_PRICE = _DailyPrice()


@click.command()
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--copies", type=_Copies(), default="10/30", show_default=True, help="Any K of N shards restore it.")
@click.option("--days", type=click.IntRange(1, 1825), default=30, show_default=True, help="Term of a contract.")
@click.option("--max-price", type=DAILY_PRICE, help="The most to pay, audits and upload included, such as 10/GiB/day.")
@click.option("--public", is_flag=True, help="Do not encrypt: whoever has the shards can read it.")
@click.option("--once", is_flag=True, help="Do not renew: it is gone when the days are over.")
@click.option("--auditor", help="Address of a node that may audit and vouch while this one is away.")
@click.option("--rail", help="Where contracts are made, if there are several.")
@click.option("--dry-run", is_flag=True, help="Only show what it would cost.")
@click.pass_obj
@catches
def store(
    shell: Shell,
    path: Path,
    copies: tuple[int, int],
    days: int,
    max_price: int | None,
    public: bool,
    once: bool,
    auditor: str | None,
    rail: str | None,
    dry_run: bool,
) -> None:
    """Store PATH, a file or folder, on other people's machines: show what it may cost, then begin."""
    body: dict[str, Any] = {
        "path": str(path.absolute()),
        "k": copies[0],
        "n": copies[1],
        "days": days,
        "max_price": None if max_price is None else str(max_price),
        "public": public,
        "renew": not once,
        "auditor": auditor,
        "rail": rail,
    }
    estimate = shell.client.post("/v1/storage/estimate", body)
    if dry_run:
        shell.show(estimate, lambda: _show_estimate(shell, estimate))
        return
    if not shell.as_json:
        _show_estimate(shell, estimate)
    made = shell.client.post("/v1/storage", body) | {"estimate": estimate}

    def show() -> None:
        shell.console.print(f"storing {made['name']} as {made['id']}: `bttnode stored` shows how far it is")

    shell.show(made, show)


def _show_estimate(shell: Shell, found: dict[str, Any]) -> None:
    say = shell.console.print
    size = f"{found['shards']} shards of {format_size(found['shard_length'])}"
    say(f"estimate  {format_size(found['size'])} as {size}: {format_amount(int(found['escrow']))} for the term")
    for host in found["hosts"]:
        term = f"{host['epochs']} epochs at {format_amount(int(host['price_per_epoch']))}"
        rate = f"{format_amount(int(host['rate']))} per GiB and day, all in"
        say(f"          {format_amount(int(host['escrow']))}: {term}, {rate}  {host['url']}")
    for note in found["notes"]:
        say(f"          {note}", style="yellow")


@click.command()
@click.argument("name", required=False)
@click.option("--manifest", type=click.Path(path_type=Path), help="Write NAME's manifest to this file.")
@click.pass_obj
@catches
def stored(shell: Shell, name: str | None, manifest: Path | None) -> None:
    """What is stored and how it is; with NAME (an id or its beginning), every contract of it."""
    if manifest is not None:
        _export(shell, name, manifest)
        return
    found = shell.client.get("/v1/storage" if name is None else _path(name))

    def show() -> None:
        if name is not None:
            _show_object(shell, found)
            for kept in found["contracts"]:
                shell.console.print(
                    f"    shard {kept['shard']:3}  {kept['state']}{_doubts(kept)}, until {day(kept['until'])}"
                    f"  {kept['host']}; paid {format_amount(int(kept['paid']))}"
                )
            return
        for each in found["objects"]:
            _show_object(shell, each)
        if not found["objects"]:
            shell.console.print("nothing is stored: `bttnode store PATH` stores a file or folder")

    shell.show(found, show)


def _doubts(kept: dict[str, Any]) -> str:
    """What speaks against one contract."""
    missed = kept["missed"]
    silent = f", silent for {missed} {'epoch' if missed == 1 else 'epochs'}" if missed else ""
    asks = ", its host would like to go" if kept["relieve"] and not kept["leaves"] else ""
    return silent + asks + (", its host leaves or is not asked to go on" if kept["leaves"] else "")


def _export(shell: Shell, name: str | None, file: Path) -> None:
    if name is None:
        raise CliError("which object's manifest?", "bttnode stored ID --manifest FILE")
    found = shell.client.get(_path(name, "manifest"))
    with file.open("xb") as opened:
        opened.write(b64decode(found["manifest"]))
    shell.show(
        {"id": found["id"], "file": str(file)},
        lambda: shell.console.print(f"{file} and the wallet's seed restore {found['id']} on any machine"),
    )


def _show_object(shell: Shell, found: dict[str, Any]) -> None:
    size = "…" if found["size"] is None else format_size(found["size"])
    until = f", until {day(found['until'])}" if found["until"] else ""
    renewed = ", renewed" if found["renew"] else ""
    shell.console.print(f"{found['id']}  {found['name']}  {size}  {found['stage']}")
    shell.console.print(
        f"    {found['good']} of {found['n']} shards are good, {found['k']} are needed{until}{renewed}; "
        f"paid {format_amount(int(found['paid']))}, locked {format_amount(int(found['locked']))}"
    )
    if found["labelled"]:
        shell.console.print(
            f"    its sealed manifest is with {found['labelled']} hosts: `bttnode recover` needs no file"
        )
    if found["note"]:
        shell.console.print(f"    {found['note']}")


@click.command()
@click.argument("source")
@click.option("-o", "--out", type=click.Path(path_type=Path), required=True, help="Where to; it must not exist.")
@click.pass_obj
@catches
def restore(shell: Shell, source: str, out: Path) -> None:
    """Bring back SOURCE: the id of a stored object, or a manifest file."""
    body: dict[str, Any] = {"out": str(out.absolute())}
    if NAME.match(source) and not Path(source).exists():
        body["id"] = source
    else:
        body["manifest"] = b64encode(_read(Path(source), MAX_MANIFEST + 2**20, "manifest")).decode()
    status = shell.client.post("/v1/restores", body)
    while not status["finished"]:
        time.sleep(POLL)
        status = shell.client.get(f"/v1/restores/{status['number']}")
    if status["fault"]:
        raise CliError(status["fault"], status["hint"])
    shell.show(status, lambda: shell.console.print(f"restored {format_size(status['done'])} to {out}"))


@click.command()
@click.argument("name")
@click.option("--evidence", type=click.Path(path_type=Path, file_okay=False), help="Write each audit's bundle here.")
@click.pass_obj
@catches
def verify(shell: Shell, name: str, evidence: Path | None) -> None:
    """Ask every host of a stored object for random blocks of its shard, now."""
    found = shell.client.post(_path(name, "verify"))
    verdicts = found["verdicts"]
    if evidence is not None:
        evidence.mkdir(parents=True, exist_ok=True)
        for each in verdicts:
            if each["evidence"]:
                (evidence / f"{found['id']}-{each['shard']}-{int(time.time())}").write_bytes(
                    b64decode(each["evidence"])
                )
    bad = [each for each in verdicts if each["verdict"] in ("wrong", "silent")]

    def show() -> None:
        for each in verdicts:
            shell.console.print(f"shard {each['shard']:3}  {each['verdict']}: {each['reason']}  {each['host']}")
        if not verdicts:
            shell.console.print("no host has a shard of it yet")

    shell.show(found, show)
    if bad:
        raise CliError(f"{len(bad)} of {len(verdicts)} hosts did not pass", "repair follows by itself", INCOMPLETE)


@click.command()
@click.argument("name")
@click.option("--days", type=click.IntRange(1, 1825), help="A new term, from now.")
@click.option("--off", is_flag=True, help="Let it run out instead.")
@click.pass_obj
@catches
def renew(shell: Shell, name: str, days: int | None, off: bool) -> None:
    """Keep a stored object: renew its contracts before they end."""
    found = shell.client.post(_path(name, "renew"), {"days": days, "on": not off})
    text = "runs out when its contracts end" if off else "is renewed from now on"
    shell.show(found, lambda: shell.console.print(f"{found['id']} {text}"))


@click.command()
@click.argument("name")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.pass_obj
@catches
def forget(shell: Shell, name: str, yes: bool) -> None:
    """Stop storing an object; hosts delete it, and what was not earned comes back (see `bttnode escrow`)."""
    found = shell.client.get(_path(name))
    if not yes and not click.confirm(f"forget {found['name']} ({found['id']})? it cannot be restored afterwards"):
        raise CliError("nothing was changed")
    found = shell.client.post(_path(found["id"], "forget"))
    shell.show(found, lambda: shell.console.print(f"{found['id']} is being forgotten"))


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--for", "name", help="Write FILE for the auditor of this stored object, instead of reading it.")
@click.pass_obj
@catches
def audit(shell: Shell, file: Path, name: str | None) -> None:
    """Audit the contracts in FILE for the renter who appointed this node."""
    if name is not None:
        found = shell.client.get(_path(name, "auditor"))
        if not found["contracts"]:
            raise CliError(f"{name} has no auditor, or no host yet", "bttnode store PATH --auditor ADDRESS")
        with file.open("x") as opened:
            json.dump(found, opened)
        shell.show(found, lambda: shell.console.print(f"give {file} to the auditor: `bttnode audit {file.name}` there"))
        return
    try:
        given = json.loads(_read(file, MAX_APPOINTMENTS, "list of contracts"))
    except (ValueError, RecursionError):
        raise CliError(f"{file} is no list of contracts: not JSON") from None
    if not isinstance(given, dict):
        raise CliError(f"{file} is no list of contracts")
    taken = shell.client.post("/v1/audits", given)
    shell.show(taken, lambda: shell.console.print(f"{taken['contracts']} contracts are audited from now on"))


@click.group()
def evidence() -> None:
    """Records of audits that anybody can check again."""


@evidence.command("check")
@click.argument("file", type=click.Path(path_type=Path))
@click.pass_obj
@catches
def evidence_check(shell: Shell, file: Path) -> None:
    """Repeat the audit in FILE, offline: signatures, blocks and paths."""
    try:
        bundle = Evidence.decode(_read(file, MAX_EVIDENCE, "evidence"))
        checked = check(bundle)
    except EvidenceError as error:
        raise CliError(f"{file}: {error}") from None
    contract, challenge = bundle.contract, bundle.challenge
    facts = {
        "verdict": checked.finding.verdict.value,
        "reason": checked.finding.reason,
        "proved": checked.proved,
        "witness": checked.witness.evm,
        "host": contract.host.evm,
        "renter": contract.renter.evm,
        "root": contract.root.hex(),
        "blocks": list(challenge.indices),
        "issued": challenge.issued,
        "chain_id": bundle.market.chain_id,
        "market": bundle.market.contract.evm,
    }

    def show() -> None:
        proved = "proved by the host's signature" if checked.proved else "only claimed, nothing can prove silence"
        say = shell.console.print
        say(f"{checked.finding.verdict}: {checked.finding.reason} ({proved})")
        say(f"  host    {contract.host.evm}")
        say(f"  shard   {contract.root.hex()}, {format_size(contract.length)}")
        say(f"  asked   {day(challenge.issued)} for {len(challenge.indices)} blocks")
        say(f"  signed  {checked.witness.evm}")

    shell.show(facts, show)


def _read(file: Path, most: int, what: str) -> bytes:
    with file.open("rb") as opened:
        data = opened.read(most + 1)
    if len(data) > most:
        raise CliError(f"{file} is no {what}: it has more than {most} bytes")
    return data


def _path(name: str, *rest: str) -> str:
    return "/".join(("/v1/storage", quote(name, safe=""), *rest))


def day(moment: int) -> str:
    """A Unix second in the user's time; what a stranger signed may be beyond every calendar."""
    try:
        return f"{datetime.datetime.fromtimestamp(moment):%Y-%m-%d %H:%M}"
    except (OverflowError, ValueError, OSError):
        return f"second {moment}"


for command in VERDICTS:
    evidence.add_command(command)

COMMANDS = (store, stored, restore, verify, renew, forget, audit, evidence)
