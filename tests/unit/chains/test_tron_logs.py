"""Events are read from the blocks, whatever an index says or leaves out, and every search has its bounds."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from aiohttp import web

from tests.unit.chains.stub import TOKEN, VAULT, serve
from tests.unit.chains.tron_stub import HEAD, ME, TRX, YOU, TronStub, block, block_id, block_time, info, log, tron_at
from wallet.chains import tron_logs
from wallet.chains.abi import TRANSFER
from wallet.chains.assets import Asset, AssetKind, TokenTransfer
from wallet.chains.base import ChainAnswerError, ChainError, NoticeCancelled, VaultLog
from wallet.chains.tron import MAX_BLOCKS, TronChain
from wallet.chains.tron_logs import NEWEST
from wallet.digests import word
from wallet.keys import keccak256

CANCELLED = keccak256(b"NoticeCancelled(address)")
TX, OTHER = bytes(31) + b"\x01", bytes(31) + b"\x02"
EVENTS, HISTORY = f"v1/contracts/{VAULT.tron}/events", f"v1/accounts/{ME.tron}/transactions/trc20"
ASSET = Asset(AssetKind.TOKEN, TRX, TOKEN)

Answer = Callable[[dict[str, Any]], Any]


class Chain:
    """Infos by block, as the stub's answers. An index knows of all of them unless a test sets another."""

    def __init__(self, stub: TronStub) -> None:
        self.stub = stub
        self.infos: dict[int, list[dict[str, Any]]] = {}
        stub.answers["wallet/gettransactioninfobyblocknum"] = lambda asked: self.infos.get(asked["num"], [])
        stub.answers["wallet/gettransactioninfobyid"] = self._by_id

    def add(self, number: int, transaction: bytes, *logs: dict[str, Any]) -> None:
        self.infos.setdefault(number, []).append(info(transaction, number, log=list(logs)))

    def cancel(self, number: int, transaction: bytes = TX) -> VaultLog:
        self.add(number, transaction, log(VAULT, CANCELLED, word(ME)))
        return VaultLog(NoticeCancelled(ME), number, block_id(number), transaction)

    def move(self, number: int, source: Any, to: Any, amount: int, transaction: bytes = TX) -> TokenTransfer:
        self.add(number, transaction, log(TOKEN, TRANSFER, word(source), word(to), data=word(amount)))
        return TokenTransfer(source, to, amount, number, transaction)

    def index(self, *numbers: int) -> Answer:
        """A list of events, which name their block."""
        rows = [{"block_number": number, "transaction_id": TX.hex()} for number in numbers]
        return lambda _asked: {"data": rows, "success": True, "meta": {"page_size": len(rows)}}

    def read(self) -> list[int]:
        """The blocks that were read."""
        return [asked["num"] for path, asked in self.stub.told if path == "wallet/gettransactioninfobyblocknum"]

    def _by_id(self, asked: dict[str, Any]) -> dict[str, Any]:
        every = (one for infos in self.infos.values() for one in infos)
        return next((one for one in every if one["id"] == asked["value"]), {})


@pytest.fixture
async def stub() -> AsyncIterator[TronStub]:
    async with serve(TronStub()) as stub:
        yield stub


@pytest.fixture
def blocks(stub: TronStub) -> Chain:
    return Chain(stub)


@pytest.fixture
async def chain(stub: TronStub) -> AsyncIterator[TronChain]:
    chain = tron_at(stub.url)
    yield chain
    await chain.close()


async def test_the_newest_blocks_are_read_without_an_index(chain: TronChain, blocks: Chain) -> None:
    expected = [blocks.cancel(HEAD - 2), blocks.cancel(HEAD - 2, OTHER), blocks.cancel(HEAD)]
    assert await chain.events(HEAD - NEWEST + 1, HEAD) == expected
    assert blocks.read() == list(range(HEAD - NEWEST + 1, HEAD + 1))


async def test_older_blocks_are_read_where_the_index_says(stub: TronStub, chain: TronChain, blocks: Chain) -> None:
    expected = [blocks.cancel(100), blocks.cancel(200)]
    stub.answers[EVENTS] = blocks.index(200, 100, 200)
    assert await chain.events(50, 500) == expected
    assert blocks.read() == [100, 200, *range(500 - NEWEST + 1, 501)]
    _, asked = next(told for told in stub.told if told[0] == EVENTS)
    assert (int(asked["min_block_timestamp"]), int(asked["max_block_timestamp"])) == (
        block_time(50),
        block_time(500 - NEWEST),
    )


async def test_an_index_that_lags_hides_nothing_new(stub: TronStub, chain: TronChain, blocks: Chain) -> None:
    blocks_expected = blocks.cancel(HEAD - 1)
    stub.answers[EVENTS] = blocks.index()
    assert await chain.events(1, HEAD) == [blocks_expected]


async def test_an_index_invents_nothing(stub: TronStub, chain: TronChain, blocks: Chain) -> None:
    blocks.cancel(10)
    stub.answers[EVENTS] = blocks.index(10, 60, 9_000_000)
    assert await chain.events(50, 500) == []


async def test_without_an_index_every_block_is_read(chain: TronChain, blocks: Chain) -> None:
    expected = [blocks.cancel(451), blocks.cancel(470), blocks.cancel(500)]
    assert await chain.events(451, 500) == expected
    assert blocks.read() == list(range(451, 501))


async def test_without_an_index_a_wide_range_is_refused(chain: TronChain, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tron_logs, "MAX_SCAN", 100)
    with pytest.raises(ChainError, match="no index of events") as caught:
        await chain.events(1, HEAD)
    assert not caught.value.retry


async def test_an_index_in_trouble_is_not_taken_for_a_missing_one(stub: TronStub, chain: TronChain) -> None:
    stub.answers[EVENTS] = lambda _asked: web.json_response({"error": "slow down"}, status=503)
    with pytest.raises(ChainAnswerError, match="HTTP 503: slow down"):
        await chain.events(1, HEAD)


@pytest.mark.parametrize("question", ["events", "transfers"])
async def test_too_many_blocks_are_refused_at_once(stub: TronStub, chain: TronChain, question: str) -> None:
    asked = chain.events(0, MAX_BLOCKS) if question == "events" else chain.transfers(ASSET, ME, 0, MAX_BLOCKS)
    with pytest.raises(ValueError, match="at most"):
        await asked
    assert stub.asked == []


async def test_blocks_that_are_not_there_yet_have_no_events(chain: TronChain, blocks: Chain) -> None:
    assert await chain.events(HEAD + 1, HEAD + 500) == []
    assert blocks.read() == []


# --- pages ----------------------------------------------------------------------------------------------------------


async def test_all_pages_of_an_index_are_read(stub: TronStub, chain: TronChain, blocks: Chain) -> None:
    expected = [blocks.cancel(number, bytes([number]) * 32) for number in (100, 101, 102)]
    pages = {"": (100, "a"), "a": (101, "b"), "b": (102, "")}

    def page(asked: dict[str, Any]) -> Any:
        number, following = pages[asked.get("fingerprint", "")]
        meta = {"fingerprint": following} if following else {}
        return {"data": [{"block_number": number}], "meta": meta}

    stub.answers[EVENTS] = page
    assert await chain.events(1, HEAD) == expected


async def test_pages_without_end_are_an_error(stub: TronStub, chain: TronChain) -> None:
    turn = iter(range(10**9))
    stub.answers[EVENTS] = lambda _asked: {"data": [], "meta": {"fingerprint": str(next(turn))}}
    with pytest.raises(ChainError, match="ask for fewer blocks"):
        await chain.events(1, HEAD)
    assert next(turn) <= 100


async def test_pages_in_a_circle_end(stub: TronStub, chain: TronChain) -> None:
    stub.answers[EVENTS] = {"data": [], "meta": {"fingerprint": "a"}}
    assert await chain.events(1, HEAD) == []


JUNK: list[Any] = [[], 7, {}, {"data": 7}, {"data": [7]}, {"data": [{}]}, {"data": [{"block_number": "9"}]}]
JUNK += [{"data": [], "meta": 7}, {"data": [], "meta": {"fingerprint": 7}}, {"data": [{"transaction_id": "zz"}]}]


@pytest.mark.parametrize("junk", JUNK)
async def test_an_index_of_a_wrong_shape_is_a_remote_fault(stub: TronStub, chain: TronChain, junk: Any) -> None:
    stub.answers[EVENTS] = junk
    with pytest.raises(ChainAnswerError, match="wrong shape"):
        await chain.events(1, HEAD)


# --- forks ----------------------------------------------------------------------------------------------------------


async def test_events_of_a_block_that_is_being_replaced_are_asked_again(
    stub: TronStub, chain: TronChain, blocks: Chain
) -> None:
    expected = blocks.cancel(HEAD)
    right = stub.answers["wallet/getblock"]
    turn = iter(range(100))

    def forked(asked: dict[str, Any]) -> Any:
        found = right(asked)
        if asked.get("id_or_num") == str(HEAD) and next(turn) == 0:
            found = block(HEAD, fork=0xCD)
            found["block_header"]["raw_data"]["timestamp"] += 3000
        return found

    stub.answers["wallet/getblock"] = forked
    assert await chain.events(HEAD, HEAD) == [expected]
    assert next(turn) == 2


# --- transfers ------------------------------------------------------------------------------------------------------


async def test_transfers_are_the_owners_and_the_tokens_own(stub: TronStub, chain: TronChain, blocks: Chain) -> None:
    sent, received = blocks.move(900, ME, YOU, 5), blocks.move(901, YOU, ME, 6, OTHER)
    blocks.move(901, YOU, VAULT, 7, bytes(32))
    blocks.add(901, bytes(32), log(VAULT, TRANSFER, word(ME), word(YOU), data=word(8)))
    newest = blocks.move(HEAD, ME, ME, 9, b"\x09" * 32)
    rows = [{"transaction_id": TX.hex()}, {"transaction_id": OTHER.hex()}, {"transaction_id": "99" * 32}]
    stub.answers[HISTORY] = {"data": rows, "meta": {}}
    assert await chain.transfers(ASSET, ME, 50, HEAD) == [sent, received, newest]
    assert blocks.read()[:2] == [900, 901]
    _, asked = next(told for told in stub.told if told[0] == HISTORY)
    assert asked["contract_address"] == TOKEN.tron


async def test_other_peoples_strange_logs_hide_nothing(chain: TronChain, blocks: Chain) -> None:
    blocks.add(HEAD, TX, log(TOKEN, TRANSFER, b"\xff" * 32, word(YOU)), log(TOKEN, TRANSFER), log(TOKEN))
    mine = blocks.move(HEAD, YOU, ME, 4, OTHER)
    assert await chain.transfers(ASSET, ME, HEAD, HEAD) == [mine]


async def test_what_is_no_token_contract_has_no_list_of_transfers(chain: TronChain) -> None:
    with pytest.raises(ValueError, match="keeps no list"):
        await chain.transfers(Asset(AssetKind.NATIVE, TRX), ME, 1, 2)
