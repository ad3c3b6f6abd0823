"""A renter's machine burns down: a new one has the twelve words, and nothing else."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from node.demo.processes import PASSWORD
from tests.e2e.stage import Stage, StageNode, host_for, make_file, stage
from tests.e2e.storage_stage import storage_hosts, store, wait_active, wait_kept

WORDS = "legal winner thank year wave sausage worth useful legal winner thank yellow"
SIZE = 300_001
INCOMPLETE = 4


def from_words(made: Stage, name: str, host: str) -> StageNode:
    """A clean machine whose key was made from the words by the command that users have."""
    node = made.node(name, host)
    (node.home / "keystore.json").unlink()
    said = subprocess.run(
        [sys.executable, "-m", "node.cli", "--home", str(node.home), "--json", "wallet", "import"],
        input=f"{WORDS}\n",
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
        env={**os.environ, "BTTNODE_PASSWORD": PASSWORD},
    )
    node.address = json.loads(said.stdout)["address"]
    return node


@pytest.mark.parametrize("rail", ["bttc"])
def test_twelve_words_bring_back_what_a_lost_machine_had_stored(tmp_path: Path, worker_id: str, rail: str) -> None:
    data = make_file(tmp_path / "letters" / "first.bin", SIZE, 5)
    with stage(tmp_path, rail=rail) as made:
        hosts = storage_hosts(made, 3, worker_id)
        lost = from_words(made, "lost", host_for(worker_id, 78))
        made.fund(lost)
        lost.start()
        stored = store(lost, tmp_path / "letters", k=2, n=3, days=2)
        wait_kept(lost, stored, 3)
        wait_active(made, lost, stored)

        def paid(each: Any) -> bool:
            done = each["labelled"] == 3 and all(int(contract["paid"]) > 0 for contract in each["contracts"])
            if not done:
                lost.call("POST", f"/v1/storage/{stored}/verify")  # an audit, as soon as the first epoch is there
            return done

        before = lost.wait(f"/v1/storage/{stored}", paid, "each host has a label and a voucher")
        for host in hosts:  # what has not left the machine is lost with it
            host.wait("/v1/host/contracts", lambda rows: rows[0]["voucher"] > 0, "its voucher has come")
        lost.kill()
        shutil.rmtree(lost.home)
        shutil.rmtree(tmp_path / "letters")
        hosts[0].kill()

        new = from_words(made, "new", host_for(worker_id, 77))
        assert new.address == lost.address
        new.start()
        said = new.cli("--json", "recover", "--yes")
        assert said.returncode == INCOMPLETE, said.stderr
        (found,) = json.loads(said.stdout)["objects"]
        assert (found["id"], found["name"], found["contracts"], found["silent"]) == (stored, "letters", 3, 1)
        after = new.get(f"/v1/storage/{stored}")
        assert {each["host"]: each["paid"] for each in after["contracts"] if each["host"] != hosts[0].address} == {
            each["host"]: each["paid"] for each in before["contracts"] if each["host"] != hosts[0].address
        }
        said = new.cli("restore", stored, "-o", str(tmp_path / "back"))
        assert said.returncode == 0, said.stderr
        assert (tmp_path / "back" / "first.bin").read_bytes() == data
