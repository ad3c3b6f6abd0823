"""A node that is killed at any moment has lost nothing it has acted upon."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from node.ports.store import Account, Line
from node.store import SqlStore, open_store
from tests.unit.store import crash_child
from tests.unit.store.kit import DAY, RAIL, TORRENT, partner

ROOT = Path(crash_child.__file__).parents[3]
ROUNDS = 4


def run_until_killed(folder: Path, lines: int) -> list[str]:
    """Everything the child said before it was killed, which is soon after its `lines`th line."""
    command = [sys.executable, "-m", crash_child.__name__, str(folder)]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as child:
        assert child.stdout is not None
        said = [child.stdout.readline() for _ in range(lines)]
        child.kill()
        said += child.stdout.readlines()
    assert all(line.endswith("\n") for line in said), "the child ended by itself"
    return said


async def check_consistent(store: SqlStore) -> None:
    """Cheques, counters and journal tell the same story."""
    issued = sum(account.cumulative for account in await store.all_issued())
    received = sum(account.cumulative for account in await store.all_received())
    spending, balances = await store.spent(DAY), await store.balances()
    assert spending.total == spending.today == await store.spent_on(TORRENT) == issued
    assert (
        balances[Line(RAIL, "", Account.SPEED_EXPENSE)] == -balances[Line(RAIL, "", Account.CHEQUES_ISSUED)] == issued
    )
    assert balances[Line(RAIL, "", Account.CHEQUES_HELD)] == -balances[Line(RAIL, "", Account.SPEED_INCOME)] == received


@pytest.mark.parametrize("seed", [1, 2])
async def test_every_cheque_reported_durable_survives_a_kill(seed: int, tmp_path: Path) -> None:
    chance = random.Random(seed)
    acknowledged: dict[tuple[str, int], int] = {}
    for _ in range(ROUNDS):
        for line in run_until_killed(tmp_path, lines=chance.randrange(1, 400)):
            kind, who, cumulative = line.split()
            acknowledged[kind, int(who)] = int(cumulative)
        store = await open_store(tmp_path / "node.db", tmp_path / "mark")
        try:
            figures = {("i", account.payee): account.cumulative for account in await store.all_issued()}
            figures |= {("r", account.payer): account.cumulative for account in await store.all_received()}
            for (side, number), durable in acknowledged.items():
                assert figures[side, partner(number)] >= durable
            await check_consistent(store)
        finally:
            await store.close()
