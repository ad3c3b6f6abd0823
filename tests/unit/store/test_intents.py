"""Every intent there can be comes back from its row."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from node.store import schema
from node.store.mapping import StoredIntent
from node.store.sql import SqlStore
from wallet.address import Address
from wallet.amount import MAX_AMOUNT
from wallet.chains.base import Call, Fee
from wallet.intents import Intent, IntentState

amounts = st.integers(0, MAX_AMOUNT)
hashes = st.binary(min_size=32, max_size=32)
addresses = st.builds(Address, st.binary(min_size=20, max_size=20))
calls = st.builds(Call, addresses, st.binary(max_size=40), amounts, st.text(), st.text(), st.integers(0, 2**62))
intents = st.builds(
    Intent,
    key=st.text(),
    rail=st.text(),
    sender=addresses,
    call=calls,
    state=st.sampled_from(IntentState),
    nonce=st.none() | st.integers(0, 2**62),
    fee=st.none() | st.builds(Fee, st.integers(0, 2**62), amounts, amounts),
    raw=st.none() | st.binary(max_size=40),
    hash=st.none() | hashes,
    replaced=st.lists(hashes, max_size=4).map(tuple),
    fee_paid=st.none() | amounts,
    anchor=st.binary(max_size=40),
    after=st.none() | st.text(),
    cancelled=st.none() | st.integers(1, 99),
)


@given(intents, st.integers(1, 99))
def test_an_intents_row_holds_all_of_it(intent: Intent, number: int) -> None:
    row = StoredIntent.of(intent, number)
    assert row.as_intent() == intent
    for column in schema.intents.columns:
        assert getattr(row, column.name) is not None or column.nullable, column.name


async def test_what_chains_with_expiry_need_is_durable(store: SqlStore) -> None:
    intent = Intent(
        key="send",
        rail="tron:0x2b6653dc",
        sender=Address(b"\1" * 20),
        call=Call(Address(b"\2" * 20), b"", 5, "transfer", "send 5", trc10=1_002_000),
        state=IntentState.SIGNED,
        nonce=0,
        fee=Fee(0, 420, extra=2**70),
        raw=b"raw",
        hash=b"\3" * 32,
        anchor=b"reference and expiry",
        after="approve",
        cancelled=1,
    )
    await store.save_intent(intent)
    assert await store.intent("send") == intent
