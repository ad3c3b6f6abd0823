"""Storage between real processes: stored with hosts found in the registry, and brought back without one of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.e2e.stage import make_file, stage
from tests.e2e.storage_stage import BTT, renter, storage_hosts, store, wait_active, wait_kept, warp_until

SIZE = 700_001
DAY = 86_400


def locked(books: Any) -> int:
    """What contracts hold of a node's money, by its journal."""
    return sum(int(line["balance"]) for line in books["accounts"] if line["account"] == "asset:storage_locked")


@pytest.mark.parametrize("rail", ["bttc", "tron"])
def test_what_three_hosts_keep_comes_back_from_two_of_them(tmp_path: Path, worker_id: str, rail: str) -> None:
    data = make_file(tmp_path / "letters" / "first.bin", SIZE, 5)
    with stage(tmp_path, rail=rail) as made:
        hosts = storage_hosts(made, 3, worker_id)
        owner = renter(made, worker_id)
        said = owner.cli("store", str(tmp_path / "letters"), "--copies", "2/3", "--days", "2", "--dry-run")
        assert (said.returncode, said.stdout.count("per GiB and day, all in")) == (0, 3), said.stderr
        stored = store(owner, tmp_path / "letters", k=2, n=3, days=2)
        wait_kept(owner, stored, 3)
        assert not list((owner.home / "renting" / "staging" / stored).iterdir())
        active = wait_active(made, owner, stored)
        escrow = sum(int(contract["escrow"]) for contract in active["contracts"])
        owner.wait("/v1/wallet/journal", lambda books: locked(books) == escrow, "the escrow is in the books")
        hosts[0].wait("/v1/wallet/journal", lambda books: locked(books) > 0, "the collateral is in the books")
        limits = {line["setting"]: line["used"] for line in owner.get("/v1/wallet/limits")}
        assert int(limits["storage.spend_total"]) == escrow
        assert "storage escrow locked" in owner.cli("wallet", "journal").stdout
        (held,) = owner.get("/v1/escrow")
        assert int(held["locked"]) == escrow
        assert owner.cli("escrow", "deposit", "3").returncode == 0
        assert owner.cli("escrow", "withdraw", "1").returncode == 0
        (after,) = owner.get("/v1/escrow")
        assert int(after["free"]) - int(held["free"]) == 2 * BTT
        warp_until(
            made,
            owner,
            f"/v1/storage/{stored}",
            # A renewal, which may be there already, is not paid yet.
            lambda each: len({contract["host"] for contract in each["contracts"] if int(contract["paid"]) > 0}) == 3,
            "each host was audited and has a voucher",
            # An audit comes at any moment of an epoch of a day: minutes before its end hardly any is still to come.
            step=DAY // 2 - 300,
        )
        hosts[0].kill()
        said = owner.cli("restore", stored, "-o", str(tmp_path / "back"))
        assert said.returncode == 0, said.stderr
        assert (tmp_path / "back" / "first.bin").read_bytes() == data
