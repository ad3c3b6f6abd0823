"""The demo itself, on one rail, with a small race and a small file: its report is complete, and its books agree."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from node.demo.bill import report
from node.demo.plot import save
from node.demo.run import Demo, stopping
from tests.e2e.stage import make_file

SIZE, RACE_SIZE, LINE = 5_000_001, 12 << 20, 6_000_000


@pytest.mark.timeout(400)  # a dozen processes: on a busy machine they take their time
def test_both_stories_reconcile_and_everybody_has_the_files_that_are_due(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    (tmp_path / "demo").mkdir()
    make_file(tmp_path / "race.bin", SIZE, 5)  # the name of the demo's own file
    console = Console(file=io.StringIO(), width=120)
    demo = Demo(tmp_path / "race.bin", tmp_path / "demo", console, ("bttc",), RACE_SIZE, LINE)
    with stopping(demo):
        found = demo.run()
    assert (found["reconciled"], found["faults"]) == (True, [])
    check_sale(found)
    check_storage(found)
    report(console, found)
    save(demo.races, tmp_path / "race.png")
    json.dumps(found)


def check_sale(found: dict[str, Any]) -> None:
    assert set(found["seconds"]) == {"payer-bttc", "free"}
    assert found["free_copy"] == found["file_sha256"]
    [bill], [race] = found["rails"], found["races"]
    payer, free = race["lanes"]
    assert bill["copies"] == {"payer-bttc": found["file_sha256"]}
    assert 0 < payer["bought"] <= bill["bytes_paid"]
    assert 0 < int(payer["spent"]) <= int(bill["owed"]) == int(bill["paid_out"])
    assert (free["spent"], free["bought"]) == ("0", 0)
    assert race["factor"] == round(free["seconds"] / payer["seconds"], 3)


def check_storage(found: dict[str, Any]) -> None:
    """Six hosts, of which three fail, lose their collateral, and are replaced by the spares."""
    storage = found["storage"]
    [rail] = storage["rails"]
    assert rail["restored_sha256"] == found["file_sha256"]
    hosts = {host["name"]: host for host in rail["hosts"]}
    slashed = [*storage["killed"], storage["corrupted"]]
    assert (len(hosts), len(storage["killed"])) == (9, 2)
    assert {name for name, host in hosts.items() if host["state"] == "failed"} == set(slashed)
    assert {hosts[name]["shard"] for name in slashed} == {hosts[name]["shard"] for name in storage["spares"]}
    assert all(int(hosts[name]["lost"]) > 0 for name in slashed)
    kept = [host for name, host in hosts.items() if name not in slashed]
    assert all(host["state"] == "completed" and int(host["paid"]) > 0 == int(host["lost"]) for host in kept)
    # The host with the bad disk still lives, and hands in the voucher that it has; those of the dead are void.
    assert [int(hosts[name]["paid"]) > 0 for name in slashed] == [False, False, True]
    assert "has changed on the disk" in storage["corrupted_says"]
    assert storage["clock_moved_seconds"] >= storage["epochs"] * storage["epoch_seconds"]
