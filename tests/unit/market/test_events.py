"""Logs of the storage contracts are read as their compiled interfaces say, and nothing in them does harm."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import fields, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.market.support import MARKET, ME, REGISTRY, TERMS, TOKEN, YOU, contracts, entry, log_of
from wallet.address import Address
from wallet.chains import abi
from wallet.chains.reading import Log
from wallet.storage.codec import MAX_DATA, events
from wallet.storage.events import (
    Announced,
    Answered,
    Opened,
    Proved,
    Settled,
    Status,
    earned,
    market_event,
    registry_event,
)
from wallet.storage_terms import MAX_LENGTH, StorageContract

ID = b"\x0a" * 32
_KINDS: dict[str, st.SearchStrategy[Any]] = {
    "address": st.binary(min_size=20, max_size=20).map(Address),
    "bytes32": st.binary(min_size=32, max_size=32),
    "uint256": st.integers(0, 2**256 - 1),
    "uint8": st.sampled_from(list(Status)),
    "string": st.text(st.characters(codec="ascii", categories=["L", "N"]), max_size=256),
}
PLAIN = [event.name for event in events(abi.MARKET).values() if event.name != "Opened"]
HOSTS = [event.name for event in events(abi.REGISTRY).values()]


def values(data: st.DataObject, contract: str, event: str) -> list[Any]:
    return [data.draw(_KINDS[item["type"]]) for item in entry(contract, event)["inputs"]]


def opened(terms: StorageContract, contract_id: bytes | None = None) -> Log:
    parties = (contract_id or terms.digest(MARKET), terms.renter, terms.host)
    rest = [getattr(terms, item.name) for item in fields(terms) if item.name not in ("renter", "host")]
    return log_of("StorageMarket", "Opened", *parties, *rest)


@pytest.mark.parametrize("event", PLAIN)
@given(data=st.data())
def test_an_event_of_the_market_has_the_fields_of_the_contracts(event: str, data: st.DataObject) -> None:
    given_ = values(data, "StorageMarket", event)
    found = market_event(MARKET, log_of("StorageMarket", event, *given_))
    assert type(found).__name__ == event
    assert found is not None
    assert [getattr(found, item.name) for item in fields(found)] == given_


@pytest.mark.parametrize("event", HOSTS)
@given(data=st.data())
def test_an_event_of_the_registry_has_the_fields_of_the_contracts(event: str, data: st.DataObject) -> None:
    given_ = values(data, "HostRegistry", event)
    found = registry_event(REGISTRY, log_of("HostRegistry", event, *given_))
    assert found is not None
    assert [getattr(found, item.name) for item in fields(found)] == given_


@given(contracts())
def test_an_opened_contract_comes_with_the_terms_that_were_signed(terms: StorageContract) -> None:
    assert market_event(MARKET, opened(terms)) == Opened(terms.digest(MARKET), terms)


def test_terms_under_a_foreign_id_are_a_lie() -> None:
    with pytest.raises(ValueError, match="not its own"):
        market_event(MARKET, opened(TERMS, ID))


def test_terms_that_no_node_deals_with_are_passed_over() -> None:
    log = opened(TERMS)
    huge = replace(log, data=log.data[:32] + (MAX_LENGTH + 1).to_bytes(32, "big") + log.data[64:])
    assert market_event(MARKET, huge) is None


def test_logs_of_other_contracts_and_unknown_events_are_passed_over() -> None:
    log = log_of("StorageMarket", "Settled", ID, YOU, 2, 1, 10)
    assert market_event(MARKET, replace(log, address=TOKEN)) is None
    assert market_event(MARKET, replace(log, topics=())) is None
    assert market_event(MARKET, replace(log, topics=(ID, *log.topics[1:]))) is None
    assert registry_event(REGISTRY, replace(log, address=REGISTRY)) is None


@given(
    st.sampled_from([*events(abi.MARKET), *events(abi.REGISTRY)]),
    st.lists(st.binary(min_size=32, max_size=32), max_size=3),
    st.binary(max_size=2 * MAX_DATA),
)
def test_whatever_a_log_holds_it_is_an_event_or_a_value_error(topic: bytes, rest: list[bytes], data: bytes) -> None:
    for address in (MARKET.contract, REGISTRY):
        log = Log(address, (topic, *rest), data)
        with suppress(ValueError):
            market_event(MARKET, log)
        with suppress(ValueError):
            registry_event(REGISTRY, log)


def test_a_log_longer_than_any_of_ours_is_not_decoded() -> None:
    log = log_of("StorageMarket", "Settled", ID, YOU, 2, 1, 10)
    with pytest.raises(ValueError, match="are the most"):
        market_event(MARKET, replace(log, data=log.data + bytes(MAX_DATA)))


@pytest.mark.parametrize(
    ("raw", "line"),
    [
        (b"https://host.example", "https://host.example"),
        ("https://höst.example".encode(), "https://höst.example"),
        (b"\xff\xfe", ""),
        (b"https://a\x1b[2J", ""),
        (b"x" * 257, ""),
    ],
)
def test_a_hosts_words_are_a_printable_line_or_none(raw: bytes, line: str) -> None:
    log = log_of("HostRegistry", "Announced", ME, YOU, "", ID)
    words = (raw + bytes(-len(raw) % 32)) if raw else b""
    data = (64).to_bytes(32, "big") + ID + len(raw).to_bytes(32, "big") + words
    assert registry_event(REGISTRY, replace(log, data=data)) == Announced(ME, YOU, line, ID)


def test_what_was_earned_is_the_sum_of_what_the_contract_paid() -> None:
    mine = (Settled(ID, YOU, 3, 2, 20), Proved(ID, YOU, 3, 1, 10), Answered(ID, YOU, 1, 7))
    others = tuple(replace(event, id=bytes(32)) for event in mine)
    assert earned((*mine, *others), ID) == 37
