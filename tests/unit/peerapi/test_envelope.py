"""Signed requests: from whom they say, for whom they are meant, young, and once."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from eth_account import Account
from eth_account.messages import encode_defunct
from hypothesis import given
from hypothesis import strategies as st

from node.peerapi.envelope import (
    MAX_NONCES_EACH,
    WINDOW,
    EnvelopeError,
    Gate,
    Request,
    check_answer,
    open_request,
    seal_answer,
    seal_request,
)
from wallet.keys import PrivateKey

RENTER, HOST, OTHER = (PrivateKey(bytes([n]) * 32) for n in (1, 2, 3))
BODY = b'{"root":"0x00"}'
NOW = 1_800_000_000


def make(body: bytes = BODY, *, nonce: int = 7, issued: int = NOW) -> Request:
    return Request.of("POST", "/v1/propose?x=1", HOST.address, issued, nonce.to_bytes(16), body)


def opened(header: str, request: Request, body: bytes = BODY) -> Request:
    sender, found = open_request(header, request.method, request.target, request.receiver, body)
    assert sender == RENTER.address
    return found


def test_what_was_sealed_opens() -> None:
    request = make()
    assert opened(seal_request(request, RENTER), request) == request


def test_a_wallet_that_signs_messages_makes_the_same_signature() -> None:
    request = make()
    lines = (
        "bttnode peer request 1", "POST", "/v1/propose?x=1", "0x" + HOST.address.raw.hex(), str(NOW),
        "0x" + request.nonce.hex(), "0x" + request.body_digest.hex(),
    )  # fmt: skip
    signed = Account.sign_message(encode_defunct(text="\n".join(lines)), RENTER.secret)
    assert bytes(signed.signature).hex() in seal_request(request, RENTER)


@pytest.mark.parametrize(
    "change",
    [
        {"method": "GET"},
        {"target": "/v1/propose?x=2"},
        {"receiver": OTHER.address},
        {"body": BODY + b" "},
    ],
)
def test_nothing_of_a_request_can_be_changed(change: dict[str, object]) -> None:
    request = make()
    given_ = {"method": "POST", "target": request.target, "receiver": HOST.address, "body": BODY} | change
    with pytest.raises(EnvelopeError) as error:
        open_request(seal_request(request, RENTER), **given_)  # type: ignore[arg-type]  # one of them is changed
    assert error.value.code == "signature"


@pytest.mark.parametrize("field", ["sender", "issued", "nonce"])
def test_nothing_of_a_header_can_be_changed(field: str) -> None:
    request = make()
    header = seal_request(request, RENTER)
    found = re.search(f'{field}="(.*?)"', header)
    assert found is not None
    value = found[1]
    forged = header.replace(value, value[:-1] + ("1" if value[-1] != "1" else "2"))
    with pytest.raises(EnvelopeError):
        opened(forged, request)


@given(st.text(max_size=600))
def test_a_header_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(EnvelopeError, match="not signed"):
        opened(text, make())


@given(st.integers(-3 * WINDOW, 3 * WINDOW), st.integers(-3 * WINDOW, 3 * WINDOW))
def test_a_request_counts_while_it_is_young_and_from_after_the_start(age: int, start: int) -> None:
    gate = Gate(NOW + start)
    request = make(issued=NOW - age)
    if abs(age) <= WINDOW and NOW - age >= NOW + start:
        gate.admit(RENTER.address, request, NOW)
    else:
        with pytest.raises(EnvelopeError) as error:
            gate.admit(RENTER.address, request, NOW)
        assert error.value.code == "expired"


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 5), st.integers(-WINDOW, WINDOW)), max_size=60))
def test_no_request_counts_twice(steps: list[tuple[int, int, int]]) -> None:
    gate, now, counted = Gate(0), NOW, set()
    for wait, nonce, skew in steps:
        now += wait
        request = make(nonce=nonce, issued=now + skew)
        for when in (now, now + WINDOW):  # the same bytes, at once and later
            try:
                gate.admit(RENTER.address, request, when)
            except EnvelopeError:
                continue
            assert request not in counted
            counted.add(request)
        now += WINDOW


def test_a_full_memory_refuses_rather_than_forgets() -> None:
    gate = Gate(0, most=3, most_each=2)
    for nonce in (1, 2):
        gate.admit(RENTER.address, make(nonce=nonce), NOW)
    with pytest.raises(EnvelopeError, match="too many"):
        gate.admit(RENTER.address, make(nonce=3), NOW)
    gate.admit(OTHER.address, make(nonce=3), NOW)
    with pytest.raises(EnvelopeError, match="too many"):
        gate.admit(HOST.address, make(nonce=4), NOW)
    with pytest.raises(EnvelopeError, match="before"):
        gate.admit(RENTER.address, make(nonce=1), NOW)
    later = NOW + 2 * WINDOW + 1
    gate.admit(RENTER.address, make(nonce=1, issued=later), later)
    assert len(gate) == 1


def test_one_sender_cannot_fill_the_memory_of_all() -> None:
    gate = Gate(0)
    for nonce in range(MAX_NONCES_EACH):
        gate.admit(RENTER.address, make(nonce=nonce), NOW)
    with pytest.raises(EnvelopeError):
        gate.admit(RENTER.address, make(nonce=MAX_NONCES_EACH), NOW)
    gate.admit(OTHER.address, make(nonce=0), NOW)


def test_an_answer_is_from_whom_was_asked_and_to_this_request() -> None:
    request = make()
    header = seal_answer(request, 200, b"{}", HOST)
    check_answer(header, request, 200, b"{}")
    for status, body, asked in ((400, b"{}", request), (200, b"{ }", request), (200, b"{}", make(nonce=8))):
        with pytest.raises(EnvelopeError):
            check_answer(header, asked, status, body)
    with pytest.raises(EnvelopeError):
        check_answer(seal_answer(request, 200, b"{}", OTHER), request, 200, b"{}")
    with pytest.raises(EnvelopeError):
        check_answer("", replace(request), 200, b"{}")
