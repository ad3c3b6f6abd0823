"""Wrong storage contracts are told at start-up, in one line with what to do, and get no money."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from click.testing import CliRunner

from node.cli.main import main
from node.ports.renting import MarketError
from node.services.host.market import ChainMarket as HostMarket
from node.services.renter.chainmarket import ChainMarket
from node.services.settlement import Done
from node.services.storagecheck import StorageContracts, check, report
from tests.unit.market.support import MARKET, ME, REGISTRY
from wallet.address import Address
from wallet.chains.base import Call, ChainError, ChainUnreachableError
from wallet.chains.fake import FakeChain
from wallet.intents import Intent, MemoryOutboxStore
from wallet.storage.chain import HostRegistry, StorageMarket
from wallet.storage.errors import WrongContractError


class Chain(FakeChain):
    """Where nothing of ours is: `answers` in turn, the last one again and again."""

    def __init__(self, *answers: bytes | ChainError) -> None:
        super().__init__()
        self.answers = list(answers)

    async def ask(self, contract: Address, *requests: bytes) -> Sequence[bytes]:
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, ChainError):
            raise answer
        return [answer for _ in requests]


class NoTransactions:
    """Fails the test where one is made."""

    async def perform(self, key: str, call: Call) -> Done:
        raise AssertionError(f"money went to a market that is none: {call.text}")

    async def finish(self, intent: Intent) -> Done:
        raise AssertionError("money went to a market that is none")


def contracts(chain: Chain) -> StorageContracts:
    return StorageContracts("devnet-bttc", StorageMarket(chain, MARKET.contract), HostRegistry(chain, REGISTRY))


@pytest.mark.parametrize("answer", [b"", b"\x01" * 32, ChainError("there is no contract at 0x07")])
async def test_what_is_not_ours_is_told_with_the_setting_to_correct(answer: bytes | ChainError) -> None:
    market, registry = await check(contracts(Chain(answer)))
    for fault, setting in ((market, "storage_market"), (registry, "host_registry")):
        assert f"correct [rail.devnet-bttc] {setting}" in fault
        assert "\n" not in fault


async def test_a_rail_with_half_of_the_pair_says_which_half_is_missing() -> None:
    chain = Chain(ChainError("no contract"))
    (_, missing) = await check(StorageContracts("nile", StorageMarket(chain, MARKET.contract), None))
    assert missing == "[rail.nile] has no host_registry, and nothing can be stored there without: set it"
    assert await check(StorageContracts("nile", None, None)) == []


async def test_a_chain_that_is_away_is_asked_again_and_nobody_is_blamed() -> None:
    told, slept = list[str](), list[float]()

    async def sleep(seconds: float) -> None:
        assert told == []
        slept.append(seconds)

    chain = Chain(ChainUnreachableError("away"), ChainUnreachableError("away"), b"")
    await report([contracts(chain)], told.append, sleep=sleep)
    assert (len(told), len(slept)) == (2, 2)


async def test_no_money_and_no_signature_goes_to_a_market_that_is_not_ours() -> None:
    chain = Chain(b"\x01" * 32)
    market = StorageMarket(chain, MARKET.contract)
    renter = ChainMarket(market, chain, NoTransactions(), MemoryOutboxStore(), ME)
    with pytest.raises(MarketError, match="not our StorageMarket"):
        await renter.deposit("key", 5)
    with pytest.raises(MarketError, match="not our StorageMarket"):
        await renter.balance()
    with pytest.raises(WrongContractError):
        await HostMarket(market, chain).balance(ME)


def test_doctor_says_what_it_cannot_ask_and_goes_on(tmp_path: Path) -> None:
    contract = "0x" + "07" * 20
    rail = f'endpoints = ["http://127.0.0.1:1"]\ntoken = "{contract}"\nvault = "{contract}"\n'
    (tmp_path / "config.toml").write_text(
        f'[node]\nlisten = ["127.0.0.1:0"]\n[rail.devnet-bttc]\n{rail}storage_market = "{contract}"\n'
    )
    said = CliRunner().invoke(main, ["--json", "--home", str(tmp_path), "doctor"], prog_name="bttnode")
    checks = json.loads(said.stdout)
    (storage,) = [each for each in checks if each["check"] == "storage"]
    assert (storage["ok"], "cannot be asked" in storage["text"]) == (False, True)
    assert [each["check"] for each in checks][-1] == "node"
    assert "Traceback" not in said.output
