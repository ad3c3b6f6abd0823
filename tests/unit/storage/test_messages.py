"""The messages' promises: what is sent is what is read, and no JSON value at all breaks the reader."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.storage.audit import MAX_SAMPLE, Challenge, Proof
from node.storage.errors import MessageError
from node.storage.merkle import BLOCK
from node.storage.messages import (
    MAX_NUMBER,
    AnswerBody,
    Appointment,
    CancelCall,
    ChallengeCall,
    Consent,
    LabelCall,
    Proposal,
    Quote,
    RecallCall,
    Recalled,
    TermsCall,
    VoucherCall,
)
from tests.unit.storage.samples import MARKET, NOW, WORDS, contract, table
from wallet.storage_terms import Cancel, Voucher

SIGNATURES = st.binary(min_size=65, max_size=65)
PROOFS = st.builds(Proof, st.binary(min_size=1, max_size=40), st.lists(WORDS, max_size=3).map(tuple))
INDICES = st.sets(st.integers(0, 2**36), min_size=1, max_size=MAX_SAMPLE).map(lambda found: tuple(sorted(found)))
EPOCHS = st.integers(0, 2**32 - 1)
PEERS = st.lists(st.sampled_from(["192.0.2.1:6881", "[2001:db8::1]:1"]), max_size=8).map(tuple)
Message = (
    TermsCall | Appointment | Quote | Proposal | Consent | ChallengeCall | AnswerBody | VoucherCall | CancelCall
    | LabelCall | RecallCall | Recalled
)  # fmt: skip
MESSAGES: st.SearchStrategy[Message] = st.one_of(
    st.builds(TermsCall, st.just(MARKET)),
    st.builds(
        Appointment,
        st.just(MARKET),
        st.builds(contract, WORDS),
        SIGNATURES,
        SIGNATURES,
        st.just("https://host.example:1/x"),
    ),
    st.builds(Quote, st.just(MARKET), st.builds(table, st.integers(0, 2**256 - 1)), SIGNATURES, PEERS),
    st.builds(
        Proposal,
        st.just(MARKET),
        st.builds(contract, WORDS, nonce=st.integers(0, 2**256 - 1)),
        SIGNATURES,
        PEERS,
        st.none() | WORDS,
    ),
    st.builds(Consent, SIGNATURES),
    st.builds(
        ChallengeCall, st.builds(Challenge, WORDS, WORDS, INDICES, st.just(NOW), st.integers(NOW, NOW + 60)), SIGNATURES
    ),
    st.builds(AnswerBody, st.lists(PROOFS, max_size=4).map(tuple), SIGNATURES),
    st.builds(VoucherCall, st.builds(Voucher, WORDS, EPOCHS), SIGNATURES),
    st.builds(CancelCall, st.builds(Cancel, WORDS, EPOCHS), SIGNATURES),
    st.builds(LabelCall, WORDS, st.integers(1, MAX_NUMBER), st.binary(max_size=100)),
    st.builds(RecallCall, WORDS),
    st.builds(
        Recalled, SIGNATURES, EPOCHS, st.none() | SIGNATURES, st.integers(0, MAX_NUMBER), st.binary(max_size=100)
    ),
)
JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=70),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
    max_leaves=5,
)


@given(MESSAGES)
def test_a_message_survives_json(message: Message) -> None:
    assert type(message).parse(json.loads(json.dumps(message.body()))) == message


@given(MESSAGES)
def test_keys_of_later_versions_are_ignored(message: Message) -> None:
    assert type(message).parse(message.body() | {"later": [1]}) == message


@given(MESSAGES, JSON, st.data())
def test_any_value_in_any_place_raises_one_error(message: Message, value: Any, data: st.DataObject) -> None:
    body = json.loads(json.dumps(message.body()))
    place = body
    while True:
        key = data.draw(st.sampled_from(sorted(place)))
        if not isinstance(place[key], dict) or data.draw(st.booleans()):
            break
        place = place[key]
    place[key] = value
    with suppress(MessageError):
        type(message).parse(body)
    with suppress(MessageError):
        type(message).parse(value)


@pytest.mark.parametrize(
    ("kind", "body", "reason"),
    [
        (Consent, {}, "Consent: signature: wanted 0x and 130 hex digits"),
        (Consent, {"signature": "0x" + "AB" * 65}, "hex digits"),
        (Consent, [], "wanted an object"),
        (VoucherCall, {"voucher": {"id": "0x" + "00" * 32, "through_epoch": True}}, "through_epoch: wanted a whole"),
        (VoucherCall, {"voucher": {"id": "0x" + "00" * 32, "through_epoch": 1.0}}, "through_epoch: wanted a whole"),
        (AnswerBody, {"proofs": [{"block": "YQ=", "path": []}]}, "block"),
        (AnswerBody, {"proofs": [{"block": "YR==", "path": []}]}, "canonical"),
        (AnswerBody, {"proofs": [{"block": "A" * 22_000, "path": []}]}, f"at most {BLOCK}"),
        (AnswerBody, {"proofs": [{}] * (MAX_SAMPLE + 1)}, "a list of 0 to 64"),
        (Proposal, {"market": {"chain_id": "01"}}, "chain_id: wanted a string of decimal digits"),
    ],
)
def test_what_is_not_the_form_is_refused_with_its_place(kind: type[Message], body: Any, reason: str) -> None:
    with pytest.raises(MessageError, match=reason) as raised:
        kind.parse(body)
    assert "\n" not in str(raised.value)


def test_peers_are_addresses_and_not_names() -> None:
    body = Proposal(MARKET, contract(), bytes(65), ()).body()
    forms = ("localhost:1", "192.0.2.1", "192.0.2.1:0", "http://192.0.2.1:1", "192.0.2.1:1\n", 7)
    for wrong in (*forms, "999.0.2.1:1", "1.1.1.1.1:1", "192.0.2.1:65536", "[1:2]:1", "[::1:1"):
        with pytest.raises(MessageError, match="peers"):
            Proposal.parse(body | {"peers": [wrong]})


def test_a_quote_of_a_host_that_names_no_engine_is_read() -> None:
    body = Quote(MARKET, table(), bytes(65)).body()
    del body["peers"]
    assert Quote.parse(body).peers == ()


def test_the_largest_answer_fits_two_mebibytes() -> None:
    largest = AnswerBody((Proof(bytes(BLOCK), (bytes(32),) * 36),) * MAX_SAMPLE, bytes(65))
    assert len(json.dumps(largest.body())) < 2 * 2**20
