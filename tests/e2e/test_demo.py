"""The demo itself, on one rail and with a small race: its report is complete, and its books agree."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from rich.console import Console

from node.demo.bill import report
from node.demo.plot import save
from node.demo.run import Demo, stopping
from tests.e2e.stage import make_file

SIZE, RACE_SIZE, LINE = 5_000_001, 12 << 20, 6_000_000


def test_the_sale_and_the_race_reconcile_and_everybody_has_both_files(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    (tmp_path / "demo").mkdir()
    make_file(tmp_path / "race.bin", SIZE, 5)  # the name of the demo's own file
    console = Console(file=io.StringIO(), width=120)
    demo = Demo(tmp_path / "race.bin", tmp_path / "demo", console, ("bttc",), RACE_SIZE, LINE)
    with stopping(demo):
        found = demo.run()
    assert (found["reconciled"], found["faults"]) == (True, [])
    assert set(found["seconds"]) == {"payer-bttc", "free"}
    assert found["free_copy"] == found["file_sha256"]
    [bill], [race] = found["rails"], found["races"]
    payer, free = race["lanes"]
    assert bill["copies"] == {"payer-bttc": found["file_sha256"]}
    assert 0 < payer["bought"] <= bill["bytes_paid"]
    assert 0 < int(payer["spent"]) <= int(bill["owed"]) == int(bill["paid_out"])
    assert (free["spent"], free["bought"]) == ("0", 0)
    assert race["factor"] == round(free["seconds"] / payer["seconds"], 3)
    report(console, found)
    save(demo.races, tmp_path / "race.png")
    json.dumps(found)
