"""The wallet on two rails: what is asked before anything is signed, what is sent once, and what is shown afterwards."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from node.services.settlement import Settlement, SettlementSettings
from node.services.wallet import Purse, UnknownAssetError, Wallet
from node.store import SqlStore, open_store
from wallet.address import Address
from wallet.amount import Token
from wallet.chains.assets import Asset, AssetKind
from wallet.chains.base import ChainError, ChainUnreachableError
from wallet.chains.fake import FakeChain
from wallet.errors import AddressError, LimitError, WalletError
from wallet.keys import PrivateKey
from wallet.limits import SpendLimits
from wallet.outbox import IntentState
from wallet.spending import Holdings, TransferLimits

KEY = PrivateKey(b"\x07" * 32)
OWN, STRANGER = KEY.address, Address(b"\x77" * 20)
COIN = 10**18
NOON = 1_700_000_000 // 86_400 * 86_400 + 43_200


@dataclass
class Clock:
    time: int = NOON

    def now(self) -> float:
        return float(self.time)

    def wall(self) -> int:
        return self.time


@dataclass
class Desk:
    """Two chains of one key, the same store, and a clock."""

    store: SqlStore
    clock: Clock = field(default_factory=Clock)
    chains: dict[str, FakeChain] = field(default_factory=dict)

    def wallet(self, **limits: dict[str, int]) -> Wallet:
        purses = {}
        for name, chain in self.chains.items():
            settlement = Settlement(
                SettlementSettings(auto=False),
                store=self.store,
                intents=self.store,
                chain=chain,
                key=KEY,
                wall=self.clock.wall,
            )
            assets = (
                Asset(AssetKind.NATIVE, Token(f"{name}COIN", 18)),
                Asset(AssetKind.TOKEN, chain.rail.token, chain.token),
            )
            holdings = Holdings(OWN, assets, chain.rail.vault, chain.rail.token)
            purses[name] = Purse(name, f"{name} (play money)", chain, holdings, settlement)
        return Wallet(
            purses,
            own=OWN,
            history=self.store,
            limits=TransferLimits(**limits),
            cheque_limits=SpendLimits(),
            clock=self.clock,
        )


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    store = await open_store(tmp_path / "node.db", tmp_path / "mark")
    made = Desk(store)
    for name, chain_id in (("ONE", 199), ("TWO", 1029)):
        chain = FakeChain(chain_id=chain_id, finality=0)
        chain.automine = True
        chain.fund(OWN, native=100 * COIN, token=1000)
        made.chains[name] = chain
    yield made
    await store.close()


async def test_balances_of_all_rails_are_shown_and_one_that_is_away_does_not_hide_the_others(desk: Desk) -> None:
    def away(question: str) -> None:
        raise ChainUnreachableError("cannot reach it")

    desk.chains["ONE"].hook = away
    one, two = await desk.wallet().balances()
    assert (one.amounts, one.fault) == ((), "cannot reach it")
    assert [(asset.token.symbol, amount) for asset, amount in two.amounts] == [("TWOCOIN", 100 * COIN), ("BTT", 1000)]


async def test_a_transfer_is_quoted_first_and_the_same_key_sends_it_once(desk: Desk) -> None:
    wallet, chain = desk.wallet(), desk.chains["ONE"]
    quote = await wallet.quote_transfer("ONE", "BTT", STRANGER.evm, 300)
    assert (quote.amount, quote.balance) == (300, 1000)
    assert await chain.token_balance(STRANGER) == 0
    first = await wallet.perform(quote, key="k")
    again = await wallet.perform(quote, key="k")
    assert first.receipt.hash == again.receipt.hash
    assert await chain.token_balance(STRANGER) == 300
    assert first.receipt.fee_paid <= quote.fee.total


async def test_a_rail_is_found_by_an_asset_that_only_it_has(desk: Desk) -> None:
    wallet = desk.wallet()
    assert (await wallet.quote_transfer(None, "twocoin", STRANGER.evm, 1)).purse.name == "TWO"
    with pytest.raises(UnknownAssetError, match="several rails are configured: choose one of ONE, TWO"):
        await wallet.quote_transfer(None, "BTT", STRANGER.evm, 1)


@pytest.mark.parametrize(
    ("rail", "symbol", "to", "amount", "fault", "words"),
    [
        ("ONE", "BTT", STRANGER.evm, 0, WalletError, "the amount is zero"),
        ("ONE", "BTT", STRANGER.evm, 1001, WalletError, "the wallet holds"),
        ("ONE", "BTT", STRANGER.tron, 1, AddressError, "is a TRON address"),
        ("ONE", "BTT", "0x12", 1, AddressError, "is not an address"),
        ("ONE", "XYZ", STRANGER.evm, 1, UnknownAssetError, "choose one of ONECOIN, BTT"),
        ("SIX", "BTT", STRANGER.evm, 1, UnknownAssetError, "no rail 'SIX'"),
    ],
)
async def test_what_cannot_be_sent_is_refused_before_anything_is_signed(
    desk: Desk, rail: str, symbol: str, to: str, amount: int, fault: type[Exception], words: str
) -> None:
    with pytest.raises(fault, match=words):
        await desk.wallet().quote_transfer(rail, symbol, to, amount)
    assert list(await desk.store.intents("eip155:199", OWN)) == []


async def test_a_dearer_fee_than_was_allowed_is_refused(desk: Desk) -> None:
    wallet = desk.wallet()
    quote = await wallet.quote_transfer("ONE", "BTT", STRANGER.evm, 1)
    with pytest.raises(ChainError, match="that you allowed"):
        await wallet.perform(quote, key="k", max_fee=quote.fee.total - 1)
    assert list(await desk.store.intents("eip155:199", OWN)) == []


async def test_the_limit_of_a_day_counts_what_left_on_every_rail_and_ends_at_midnight(desk: Desk) -> None:
    wallet = desk.wallet(per_transfer={"BTT": 500}, per_day={"BTT": 700})
    await wallet.perform(await wallet.quote_transfer("ONE", "BTT", STRANGER.evm, 400), key="a")
    with pytest.raises(LimitError, match="have left the wallet today"):
        await wallet.quote_transfer("TWO", "BTT", STRANGER.evm, 301)
    await wallet.perform(await wallet.quote_transfer("TWO", "BTT", STRANGER.evm, 300), key="b")
    with pytest.raises(LimitError, match="for one transfer"):
        await wallet.quote_transfer("TWO", "BTT", STRANGER.evm, 501)
    desk.clock.time += 43_200
    await wallet.perform(await wallet.quote_transfer("TWO", "BTT", STRANGER.evm, 500), key="c")


async def test_two_quotes_within_the_limit_are_not_both_sent_beyond_it(desk: Desk) -> None:
    wallet = desk.wallet(per_day={"BTT": 500})
    quotes = [await wallet.quote_transfer("ONE", "BTT", STRANGER.evm, 300) for _ in range(2)]
    await wallet.perform(quotes[0], key="a")
    with pytest.raises(LimitError):
        await wallet.perform(quotes[1], key="b")
    assert await desk.chains["ONE"].token_balance(STRANGER) == 300


async def test_what_failed_does_not_count_against_the_limit(desk: Desk) -> None:
    wallet = desk.wallet(per_day={"BTT": 500})
    quote = await wallet.quote_transfer("ONE", "BTT", STRANGER.evm, 500)
    desk.chains["ONE"].fund(OWN, token=-1000)  # spent by another program in between
    with pytest.raises(ChainError):
        await wallet.perform(quote, key="a")
    (failed,) = await desk.store.intents("eip155:199", OWN)
    assert failed.state is IntentState.FAILED
    assert await wallet.left_today() == []


async def test_history_shows_our_transactions_and_what_came_in_newest_first(desk: Desk) -> None:
    wallet, chain = desk.wallet(), desk.chains["ONE"]
    await wallet.perform(await wallet.quote_transfer("ONE", "BTT", STRANGER.evm, 10), key="a")
    other = PrivateKey(b"\x08" * 32)
    chain.fund(other.address, native=COIN, token=77)
    call = chain.transfer_token(OWN, 77)
    fee = await chain.estimate(call, other.address)
    tx = await chain.prepare(call, other.address, 0, fee)
    await chain.broadcast(chain.sign(tx, other))
    lines = await wallet.history("ONE", limit=10)
    assert [line.kind for line in lines] == ["received", "transfer"]
    assert other.address.evm in lines[0].text
    assert lines[1].state == "final"
    assert (await wallet.history("ONE", limit=1))[0] == lines[0]
