"""What a chain's servers may answer is told apart from what is wrong with the settings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.market.support import MARKET, ME, REGISTRY, TERMS, YOU, log_of
from wallet.address import Address
from wallet.chains.base import ChainAnswerError, Receipt, RevertedError
from wallet.chains.fake import FakeChain
from wallet.chains.fake_vault import TOKEN_ADDRESS
from wallet.chains.reading import FoundLog, Log, Topics
from wallet.digests import word
from wallet.storage.chain import MAX_TOGETHER, HostRegistry, StorageMarket
from wallet.storage.errors import WrongContractError
from wallet.storage.events import Settled, Status

ID = b"\x0a" * 32
SETTLED = log_of("StorageMarket", "Settled", ID, YOU, 2, 1, 10)
BROKEN = replace(SETTLED, data=SETTLED.data[:-1])


class StubChain(FakeChain):
    """Answers and logs as a test wants them."""

    def __init__(self, answer: bytes = b"", logs: Sequence[Log] = ()) -> None:
        super().__init__()
        self.answer: bytes | RevertedError = answer
        self.asked: list[int] = []
        self._logs = [FoundLog(log, 9, bytes(32), ID) for log in logs]

    async def ask(self, contract: Address, *requests: bytes) -> Sequence[bytes]:
        self.asked.append(len(requests))
        if isinstance(self.answer, RevertedError):
            raise self.answer
        return [self.answer for _ in requests]

    async def logs(self, contract: Address, first: int, last: int, topics: Topics = ()) -> Sequence[FoundLog]:
        return [found for found in self._logs if found.log.matches(contract, topics)]


def market(chain: StubChain) -> StorageMarket:
    return StorageMarket(chain, MARKET.contract)


def registry(chain: StubChain) -> HostRegistry:
    return HostRegistry(chain, REGISTRY)


@given(st.binary(max_size=400))
async def test_an_answer_is_read_or_is_no_answer_of_our_contract(answer: bytes) -> None:
    chain = StubChain(answer)
    for question in (
        market(chain).balance(ME),
        market(chain).record(ID),
        market(chain).chosen(TERMS),
        market(chain).closable_at(TERMS),
        market(chain).allowance(ME),
        registry(chain).stake(ME),
    ):
        try:
            await question
        except WrongContractError as error:
            assert not error.retry  # noqa: PT017 - either outcome is right


async def test_a_status_that_no_market_has_is_no_answer_of_our_contract() -> None:
    state = [word(value) for value in (6, 0, 4, 0, 0, 0, 0, 0)]
    with pytest.raises(WrongContractError, match="status 6"):
        await market(StubChain(b"".join(state))).record(ID)
    state[0] = word(Status.FAILED)
    assert (await market(StubChain(b"".join(state))).record(ID)).status is Status.FAILED


async def test_a_contract_that_refuses_to_tell_its_settings_is_a_wrong_one() -> None:
    chain = StubChain()
    chain.answer = RevertedError("the contract refuses: it gave no reason")
    with pytest.raises(WrongContractError, match="is not our StorageMarket: the contract refuses"):
        await market(chain).check()


async def test_a_market_of_another_token_or_version_is_a_wrong_one() -> None:
    with pytest.raises(WrongContractError, match=f"its token is {ME}, not {TOKEN_ADDRESS}"):
        await market(StubChain(word(ME))).check()
    with pytest.raises(WrongContractError, match="another version, or for another chain"):
        await market(StubChain(word(TOKEN_ADDRESS))).check()


async def test_many_records_are_asked_for_in_questions_of_bounded_size() -> None:
    chain = StubChain(bytes(32 * 8))
    found = await market(chain).records([ID] * (2 * MAX_TOGETHER + 1))
    assert [record.status for record in found] == [Status.UNKNOWN] * (2 * MAX_TOGETHER + 1)
    assert chain.asked == [MAX_TOGETHER, MAX_TOGETHER, 1]


async def test_a_log_that_the_contract_cannot_have_written_is_its_servers_fault() -> None:
    receipt = Receipt(ID, True, 9, bytes(32), 0, 0, logs=(SETTLED, BROKEN))
    with pytest.raises(ChainAnswerError, match="StorageMarket cannot have written") as caught:
        await market(StubChain(logs=[SETTLED, BROKEN])).events(0, 9)
    assert caught.value.retry
    with pytest.raises(ChainAnswerError):
        market(StubChain()).happened(receipt)


async def test_a_history_is_of_one_contract() -> None:
    other = log_of("StorageMarket", "Settled", bytes(32), YOU, 2, 1, 10)
    deposited = log_of("StorageMarket", "Deposited", ME, YOU, 5)
    found = await market(StubChain(logs=[other, SETTLED, deposited])).history(ID, 0, 9)
    assert [happened.event for happened in found] == [Settled(ID, YOU, 2, 1, 10)]
    assert found[0].transaction == ID


def test_a_receipt_tells_what_happened_in_the_market_and_nothing_else() -> None:
    foreign = replace(SETTLED, address=REGISTRY)
    receipt = Receipt(ID, True, 9, bytes(32), 0, 0, logs=(foreign, SETTLED))
    assert market(StubChain()).happened(receipt) == (Settled(ID, YOU, 2, 1, 10),)
