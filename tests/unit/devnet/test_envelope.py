"""JSON-RPC without a transport: whatever is asked of whichever method, there is an answer in JSON."""

from __future__ import annotations

import json

from hypothesis import given, settings
from hypothesis import strategies as st

from node.devnet import evm_json as j
from node.devnet.evm_development import DEVELOPMENT
from node.devnet.evm_envelope import answer
from node.devnet.evm_filters import Filters
from node.devnet.evm_method import Decoder
from node.devnet.evm_methods import METHODS
from node.devnet.evm_subscriptions import Subscriptions
from tests.unit.devnet.support import ALICE, address, make_chain, recorder, signed

CHAIN = make_chain()
CONTRACT = "0x" + recorder(CHAIN).hex()
EVERYTHING = {**METHODS, **DEVELOPMENT, **Filters().methods()}

quantities = st.sampled_from([0, 1, 2, 30_000_000, 2**40, 2**64 - 1, 2**256 - 1]).map(hex)
addresses = st.sampled_from([CONTRACT, "0x" + address(ALICE).hex(), "0x" + "00" * 20, "0x" + "00" * 19 + "01"])
words = st.binary(min_size=32, max_size=32).map(lambda raw: "0x" + raw.hex())
bytes_ = st.binary(max_size=40).map(lambda raw: "0x" + raw.hex()) | st.just("0x" + signed(ALICE, 1).hex())
blocks = st.sampled_from(["latest", "pending", "earliest", "safe", "0x0", "0x1", "0x99", {"blockNumber": "0x1"}])
calls = st.fixed_dictionaries(
    {}, optional={"from": addresses, "to": addresses, "data": bytes_, "value": quantities, "gas": quantities}
)
choices = st.fixed_dictionaries(
    {}, optional={"address": addresses, "topics": st.lists(words | st.none(), max_size=4), "fromBlock": blocks}
)
flags, texts = st.booleans(), st.text(max_size=9)
fitting: dict[Decoder, st.SearchStrategy[object]] = {
    j.address_in: addresses,
    j.block_hash_in: words,
    j.block_in: blocks,
    j.call_in: calls,
    j.data_in: bytes_,
    j.flag_in: flags,
    j.hash_in: words,
    j.log_filter_in: choices,
    j.quantity_in: quantities,
    j.seconds_in: quantities,
    j.text_in: texts,
}
anything = st.one_of(quantities, addresses, words, bytes_, blocks, calls, choices, flags, st.none(), texts)


def request(name: str) -> st.SearchStrategy[dict[str, object]]:
    """Parameters that fit, for the most part."""
    method = EVERYTHING[name]
    decoders = (*method.required, *(decode for decode, _ in method.optional))
    fits = st.tuples(*(fitting[decode] for decode in decoders)).map(list)
    parameters = st.one_of(fits, fits, st.lists(anything, max_size=3))
    return st.fixed_dictionaries({"id": st.integers(), "method": st.just(name), "params": parameters})


requests = st.sampled_from(sorted(EVERYTHING)).flatmap(request)


@settings(deadline=None, max_examples=150)
@given(st.lists(requests, min_size=1, max_size=6))
def test_every_request_of_a_batch_gets_one_answer(batch: list[dict[str, object]]) -> None:
    found = answer(CHAIN, EVERYTHING, json.dumps(batch))
    assert isinstance(found, list)
    assert [one["id"] for one in found] == [asked["id"] for asked in batch]
    for one in found:
        assert ("result" in one) != ("error" in one)
    json.dumps(found)


@settings(deadline=None, max_examples=100)
@given(st.text(max_size=40) | st.binary(max_size=40))
def test_noise_is_answered(body: str | bytes) -> None:
    sent: list[object] = []
    Subscriptions(EVERYTHING, sent.append).answer(CHAIN, body)
    assert len(sent) == 1
