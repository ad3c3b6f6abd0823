"""Hosts that leave, as real processes: one hands its shard over and empties its disk, another one leaves alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.e2e.stage import make_file, stage
from tests.e2e.storage_stage import LEAD, renter, storage_hosts, store, wait_active, wait_kept, warp_until

DAY = 86_400


def states(stored: Any) -> list[str]:
    return [kept["state"] for kept in stored["contracts"]]


def test_a_host_hands_over_and_empties_its_disk_and_another_one_pays_to_leave(tmp_path: Path, worker_id: str) -> None:
    data = make_file(tmp_path / "one.bin", 300_000, 7)
    with stage(tmp_path, rail="bttc") as made:
        hosts = storage_hosts(made, 3, worker_id)
        owner = renter(made, worker_id)
        stored = store(owner, tmp_path / "one.bin", k=1, n=2, days=20)
        wait_kept(owner, stored, 2)
        wait_active(made, owner, stored)
        leaver, other = [host for host in hosts if host.get("/v1/host/contracts")]
        (contract,) = leaver.get("/v1/host/contracts")
        (volume,) = leaver.get("/v1/host/volumes")

        said = leaver.cli("host", "exit", "--volume", volume["id"], "--within", "9d", "--yes")
        assert said.returncode == 0, said.stderr
        assert "handed over for nothing; alone for at most" in said.stdout
        path = f"/v1/storage/{stored}"
        warp_until(
            made,
            owner,
            path,
            lambda each: any(kept["relieve"] for kept in each["contracts"]),
            "its renter has heard of it",
            step=DAY // 4,
        )
        owner.wait(path, lambda each: states(each).count("active") == 3, "another host has the shard")
        assert "cancelled" not in states(owner.get(path)), "nobody is let go before another one is bound"
        made.warp(LEAD)
        (ended,) = leaver.wait("/v1/host/contracts", lambda rows: rows[0]["state"] == "cancelled", "it is let go")
        assert ended["id"] == contract["id"]
        assert 0 < ended["paid"] < 10
        assert int(ended["money"]["lost"]) == 0
        assert owner.wait(path, lambda each: "cancelled" in states(each), "its renter knows")["good"] == 2
        leaver.wait("/v1/host/volumes", lambda rows: rows[0]["shards"] == 0, "its disk is empty")
        assert leaver.cli("host", "volume", "remove", volume["id"]).returncode == 0

        assert other.cli("host", "exit", "--all", "--within", "0s", "--yes").returncode == 0
        other.wait("/v1/host/contracts", lambda rows: rows[0]["state"] == "exiting", "it leaves alone")
        (line,) = other.get("/v1/host/contracts")
        assert line["end"] < contract["end"]
        assert int(line["money"]["lost"]) > 0
        said = owner.cli("restore", stored, "-o", str(tmp_path / "back"))
        assert said.returncode == 0, said.stderr
        assert (tmp_path / "back").read_bytes() == data
