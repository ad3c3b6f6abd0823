"""Bad weather between real processes: disks that fill up, turn read-only and vanish, a host and a chain that are down,
a renter who is away for the rest of the term. Nobody loses anything by it, and everybody is told what is wrong.

What needs no process is in `tests/unit/hosting/test_weather.py` and `tests/unit/renter/test_weather.py`.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.stage import DEADLINE, Stage, StageNode, make_file, stage
from tests.e2e.storage_stage import renter, storage_hosts, store, wait_active, wait_kept

SIZE = 700_001
DAY = 86_400
BLOCK = 0.25
"""Seconds between two blocks that are mined while a test waits."""


@contextmanager
def mounted(*arguments: object) -> Iterator[bool]:
    """`mount ARGUMENTS`, the last of them the folder; False where this user may not."""
    words = [str(each) for each in arguments]
    done = subprocess.run(["mount", *words], capture_output=True, check=False).returncode == 0
    try:
        yield done
    finally:
        if done:
            subprocess.run(["umount", "--lazy", words[-1]], check=True)


@contextmanager
def read_only(folder: Path) -> Iterator[bool]:
    """The folder cannot be written to; False where that cannot be had (root may write everywhere)."""
    if os.geteuid() != 0:
        folder.chmod(0o500)
        yield True
        folder.chmod(0o700)
        return
    with mounted("--bind", folder, folder) as done:
        yield done and subprocess.run(["mount", "-o", "remount,bind,ro", folder], check=False).returncode == 0


def why(host: StageNode) -> str:
    return "\n".join(host.get("/v1/host")[0]["why"])


def wait_why(host: StageNode, text: str, *, gone: bool = False) -> None:
    host.wait("/v1/host", lambda lines: (text in "\n".join(lines[0]["why"])) is not gone, f"'{text}' is said")


def verdicts(owner: StageNode, stored: str) -> dict[str, str]:
    """Audit all hosts now: host → verdict."""
    found = owner.call("POST", f"/v1/storage/{stored}/verify", {})["verdicts"]
    return {each["host"]: each["verdict"] for each in found}


def wait_passed(owner: StageNode, stored: str) -> None:
    """Until every host passes an audit: all clocks have followed the chain's."""
    owner.wait("/v1/storage", lambda _: set(verdicts(owner, stored).values()) == {"passed"}, "audits pass")


def wait_log(node: StageNode, line: str) -> None:
    assert node.process is not None
    log = node.process.log
    node.wait("/v1/host", lambda _: line in log.read_text(), f"its log says '{line}'")


def wait_contract(host: StageNode, **fields: object) -> Any:
    def has(rows: Any) -> bool:
        return all(rows[-1][name] == value for name, value in fields.items())

    return host.wait("/v1/host/contracts", has, f"its contract has {fields}")[-1]


def wait_final(made: Stage, host: StageNode, **fields: object) -> Any:
    """The same of what has to become final: blocks go on, as they do on a real chain and not on a devnet."""
    end = time.monotonic() + DEADLINE
    while True:
        row = host.get("/v1/host/contracts")[-1]
        if all(row[name] == value for name, value in fields.items()):
            return row
        assert time.monotonic() < end, f"{host.name}: its contract has {fields}; last: {row}; {why(host)}"
        made.warp(1)
        time.sleep(BLOCK)


@pytest.mark.timeout(240)
def test_disks_fill_up_turn_read_only_and_vanish_and_a_host_is_away_for_an_epoch(
    tmp_path: Path, worker_id: str
) -> None:
    data = make_file(tmp_path / "letters" / "first.bin", SIZE, 5)
    with stage(tmp_path) as made:
        first, second = storage_hosts(made, 2, worker_id)
        owner = renter(made, worker_id)
        stored = store(owner, tmp_path / "letters", k=1, n=2, days=8)
        wait_kept(owner, stored, 2)
        wait_active(made, owner, stored)
        disk, volume = first.home / "disk", first.get("/v1/host/volumes")[0]["id"]

        # Full: named with what helps, served on; more quota is offered at once.
        first.call("POST", f"/v1/host/volumes/{volume}", {"quota": 700 << 10})
        said = first.cli("host", "why").stdout
        assert f"volume {disk} is full: 686.37 KiB of its 700 KiB are taken" in said.replace("\n", " ")
        other = store(owner, tmp_path / "letters", k=1, n=2, days=8)
        path = f"/v1/storage/{other}"
        owner.wait(path, lambda each: "KiB free, and 683.62 KiB are needed" in each["note"], "it lacks a host")
        first.call("POST", f"/v1/host/volumes/{volume}", {"quota": 1 << 30})
        wait_kept(owner, other, 2)

        # Read-only: audits go on.
        with read_only(disk) as can_be:
            if can_be:
                wait_why(first, "takes no new shards")
                assert set(verdicts(owner, stored).values()) == {"passed"}
        wait_why(first, "takes no new shards", gone=True)

        # Vanished, also over a restart: distrusted, told, and earning again when it is back.
        disk.rename(first.home / "away")
        disk.mkdir()
        wait_why(first, "is its disk mounted? It goes on by itself when it is there again")
        wait_why(first, "no new contracts are taken")
        assert verdicts(owner, stored) == {first.address: "silent", second.address: "passed"}
        assert ", silent for 1 epoch, " in owner.cli("stored", stored).stdout
        wait_log(first, f"ERROR   node.services.host.disks: volume {disk} serves nothing")
        first.stop()
        first.start()
        wait_why(first, "no new contracts are taken")
        checked = first.cli("host", "volume", "check", volume)
        assert checked.returncode == 4
        assert "bttnode: the volume is still missing" in checked.stderr
        disk.rmdir()
        (first.home / "away").rename(disk)
        assert first.cli("host", "volume", "check", volume).returncode == 0
        # After a silence a piece is asked for, too; not while the renter fetches the shard itself, for a repair.
        owner.wait("/v1/storage", lambda _: "silent" not in verdicts(owner, stored).values(), "it answers again")
        assert "volume" not in why(first)

        # Away for an epoch: silent there, and paid for it by the voucher of the next.
        second.kill()
        assert verdicts(owner, stored)[second.address] == "silent"
        made.warp(DAY)
        second.start()
        wait_passed(owner, stored)
        for host in (first, second):
            wait_contract(host, voucher=2)
        assert "silent" not in owner.cli("stored", stored).stdout

        _restores_fail_in_one_line(owner, stored, tmp_path)
        with mounted("-t", "tmpfs", "-o", "size=256k", "tmpfs", _folder(tmp_path / "small")) as has_small:
            if has_small:
                failed = owner.cli("restore", stored, "-o", str(tmp_path / "small" / "back"))
                assert failed.returncode == 1
                assert "and 256 KiB are free (make room there" in failed.stderr
                assert failed.stderr.count("\n") == 1
                assert not list((tmp_path / "small").iterdir()), "nothing half is left"
        assert owner.cli("restore", stored, "-o", str(tmp_path / "back")).returncode == 0
        assert (tmp_path / "back" / "first.bin").read_bytes() == data
    if not (can_be and has_small):
        pytest.skip("this user may not mount: a read-only and a small disk were left out")


def _restores_fail_in_one_line(owner: StageNode, stored: str, folder: Path) -> None:
    taken = folder / "letters"
    for source, out, line in (
        (stored, taken, f"bttnode: {taken} exists (choose another place with -o, or move what is there)"),
        ("0123456789abcdef", folder / "x", "no stored object matches '0123456789abcdef' (`bttnode stored` lists them)"),
    ):
        failed = owner.cli("restore", source, "-o", str(out))
        assert (failed.returncode, failed.stderr.count("\n")) == (1, 1)
        assert line in failed.stderr


def _folder(path: Path) -> Path:
    path.mkdir()
    return path


@pytest.mark.timeout(240)
def test_a_chain_that_was_down_and_a_renter_who_stays_away_cost_the_hosts_nothing(
    tmp_path: Path, worker_id: str
) -> None:
    make_file(tmp_path / "letters" / "first.bin", SIZE, 6)
    # A proof costs its host two transactions: at this price each epoch is worth them.
    section = {"price": '"1000000 BTT/GiB/day"', "collateral_percent": "1"}
    with stage(tmp_path) as made:
        hosts = storage_hosts(made, 2, worker_id, storage=section)
        owner = renter(made, worker_id)
        stored = store(owner, tmp_path / "letters", k=1, n=2, days=2, renew=False)
        path = f"/v1/storage/{stored}"
        wait_kept(owner, stored, 2)
        wait_active(made, owner, stored)

        # The chain is down for the rest of an epoch: audits and vouchers go on; what does not is said.
        for host in hosts:
            wait_contract(host, epoch=0)
        wait_passed(owner, stored)
        made.kill_chain()
        for host in hosts:
            wait_why(host, "the chain does not answer, so nothing is accepted or claimed now: cannot reach 127.0.0.1")
        assert set(verdicts(owner, stored).values()) == {"passed"}
        for host in hosts:
            wait_contract(host, voucher=1, paid=0)
        owner.wait(path, lambda each: "the chain does not answer" in each["note"], "it says so")
        assert "audits and restores go on: cannot reach 127.0.0.1" in owner.cli("stored").stdout.replace("\n", " ")
        refused = hosts[0].cli("host", "deposit", "1")
        assert (refused.returncode, refused.stderr.count("\n")) == (1, 1)
        made.restart_chain()
        made.warp(DAY)
        owner.wait(path, lambda each: each["note"] == "", "the chain is back")
        for host in hosts:
            wait_why(host, "the chain does not answer", gone=True)

        # The renter stays away: what it has not vouched for is proved on chain, and the escrow is paid to the unit.
        owner.stop()
        for paid in (1, 2):
            # In the middle of the epoch after it; what was vouched for is settled when that is worth the fee.
            made.warp(DAY // 2 if paid == 1 else DAY)
            for host in hosts:
                wait_final(made, host, paid=paid)
        made.warp(DAY)
        escrow = 0
        for host in hosts:
            ended = wait_final(made, host, state="completed")
            assert ended["money"]["claimed"] == str(2 * int(ended["price_per_epoch"]))
            assert (ended["money"]["lost"], ended["money"]["at_stake"]) == ("0", "0")
            escrow += int(ended["money"]["claimed"])

        # Back: the books tell the truth, and forgetting is all that is left to do.
        owner.start()
        found = owner.wait(
            path, lambda each: all(kept["state"] == "completed" for kept in each["contracts"]), "it has heard"
        )
        assert (found["paid"], found["locked"], found["good"]) == (str(escrow), "0", 0)
        assert "its term is over, hosts may delete it: `bttnode forget`" in owner.cli("stored").stdout.replace(
            "\n", " "
        )
        assert owner.cli("forget", stored, "--yes").returncode == 0
        owner.wait("/v1/storage", lambda each: not each["objects"], "it is forgotten")
