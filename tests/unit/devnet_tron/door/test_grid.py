"""TronGrid's lists: everything once, in order, page by page; values by name where the ABI has one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from eth_abi.abi import encode
from eth_utils.crypto import keccak
from hypothesis import given
from hypothesis import strategies as st

from node.devnet.records import Event
from node.devnet.tron.chain import TronChain
from node.devnet.tron.deployment import signed
from node.devnet.tron.events import descriptions, event_json
from node.devnet.tron.faucet import TronFaucet
from node.devnet.tron.grid import ENDPOINTS, Asked
from node.devnet.tron.protojson import BadJsonError, read_message
from node.devnet.tron.records import Log
from node.devnet.tron.request import Request
from node.devnet.tron.schema import encode as encode_message
from tests.unit.devnet_tron.door.support import ALICE, BOB, deployed, make_chain
from wallet.address import Address

GIFTS, TOGETHER = 7, 3
FEE_LIMIT = 10**9


@pytest.fixture(scope="module")
def grid() -> Iterator[Grid]:
    """A token that was given `GIFTS` times to Alice (1, 2, …), the first `TOGETHER` in one block, and once to Bob."""
    chain = make_chain()
    deployment = deployed(chain)
    token = Address.parse(deployment.token).raw
    faucet = TronFaucet(token)
    chain.automine = False
    for amount in range(1, GIFTS + 1):
        chain.submit(signed(chain, "TriggerSmartContract", faucet.minting(ALICE.address.raw, amount), FEE_LIMIT))
        if amount >= TOGETHER:
            chain.mine()
    faucet.fund(chain, BOB.address.raw, 1, 100)
    yield Grid(chain, token)
    chain.close()


class Grid:
    """Asks the endpoints as HTTP would."""

    def __init__(self, chain: TronChain, token: bytes) -> None:
        self.chain = chain
        self.token = token

    def ask(self, path: str, subject: str, **query: object) -> Any:
        texts = {key: str(value).lower() if isinstance(value, bool) else str(value) for key, value in query.items()}
        return ENDPOINTS[path](self.chain, Asked("http://x", subject, Request(texts)))

    def events(self, **query: object) -> Any:
        return self.ask("/v1/contracts/{subject}/events", Address(self.token).tron, **query)

    def transfers(self, owner: Address, **query: object) -> Any:
        return self.ask("/v1/accounts/{subject}/transactions/trc20", owner.tron, **query)


def amounts(answer: Any) -> list[int]:
    return [int(event["result"]["value"]) for event in answer["data"]]


# --- pages -----------------------------------------------------------------------------------------------------------


@given(st.integers(1, GIFTS + 3), st.sampled_from(["block_timestamp,asc", "block_timestamp,desc"]))
def test_every_event_comes_exactly_once_whatever_the_page(grid: Grid, limit: int, order: str) -> None:
    seen: list[int] = []
    query: dict[str, object] = {"limit": limit, "order_by": order}
    while True:
        page = grid.events(**query)
        assert page["meta"]["page_size"] == len(page["data"]) <= limit
        seen += amounts(page)
        if "fingerprint" not in page["meta"]:
            break
        query["fingerprint"] = page["meta"]["fingerprint"]
    assert seen == [*range(1, GIFTS + 1), 100][:: 1 if order.endswith("asc") else -1]


def test_events_of_a_time_a_name_or_a_block(grid: Grid) -> None:
    events = grid.events(order_by="block_timestamp,asc")["data"]
    first, fifth = events[0], events[4]
    moment = fifth["block_timestamp"]
    assert amounts(grid.events(min_block_timestamp=moment, max_block_timestamp=moment)) == [5]
    assert amounts(grid.events(block_number=first["block_number"])) == [3, 2, 1]
    assert grid.events(event_name="Approval")["data"] == []
    assert len(grid.events(event_name="Transfer")["data"]) == GIFTS + 1
    assert grid.ask("/v1/transactions/{subject}/events", fifth["transaction_id"])["data"] == [fifth]
    assert grid.ask("/v1/blocks/{subject}/events", str(fifth["block_number"]))["data"] == [fifth]
    assert [event["result"]["value"] for event in grid.ask("/v1/blocks/{subject}/events", "latest")["data"]] == ["100"]


def test_confirmed_and_unconfirmed_are_told_apart(grid: Grid) -> None:
    assert amounts(grid.events(only_unconfirmed=True)) == [100]
    assert amounts(grid.events(only_confirmed=True)) == list(range(GIFTS, 0, -1))
    assert "_unconfirmed" not in grid.events(only_confirmed=True)["data"][0]


def test_a_contract_that_is_not_there_has_no_events(grid: Grid) -> None:
    assert grid.ask("/v1/contracts/{subject}/events", ALICE.address.tron)["data"] == []
    assert grid.ask("/v1/transactions/{subject}/events", "99" * 32)["data"] == []
    assert grid.ask("/v1/blocks/{subject}/events", str(10**9))["data"] == []


@pytest.mark.parametrize(
    "query",
    [
        {"limit": 0},
        {"limit": "x"},
        {"order_by": "up"},
        {"fingerprint": "zz"},
        {"fingerprint": "99" * 32 + ".0"},
        {"only_confirmed": "5"},
    ],
)
def test_a_wrong_question_is_refused(grid: Grid, query: dict[str, object]) -> None:
    with pytest.raises(BadJsonError):
        grid.events(**query)
    with pytest.raises(BadJsonError):
        grid.ask("/v1/contracts/{subject}/events", "nonsense")


# --- transfers -------------------------------------------------------------------------------------------------------


def test_an_accounts_token_transfers_know_their_token(grid: Grid) -> None:
    found = grid.transfers(ALICE.address, limit=1)
    assert found["data"][0]["token_info"] == {
        "symbol": "BTT",
        "name": "BitTorrent (devnet)",
        "decimals": 18,
        "address": Address(grid.token).tron,
    }
    assert (found["data"][0]["to"], found["data"][0]["value"]) == (ALICE.address.tron, str(GIFTS))
    following = grid.transfers(ALICE.address, limit=1, fingerprint=found["meta"]["fingerprint"])
    assert following["data"][0]["value"] == str(GIFTS - 1)
    assert [transfer["value"] for transfer in grid.transfers(BOB.address)["data"]] == ["100"]
    assert grid.transfers(BOB.address, only_from=True)["data"] == []
    assert grid.transfers(BOB.address, contract_address=BOB.address.tron)["data"] == []


def test_an_account_lists_the_tokens_it_was_given(grid: Grid) -> None:
    (found,) = grid.ask("/v1/accounts/{subject}", "THyQwoLcjVLjVhY6mouuW6oHteYMGCEXsF")["data"]
    assert found["address"].startswith("41")
    assert found["trc20"] == []
    (found,) = grid.ask("/v1/accounts/{subject}", BOB.address.tron)["data"]
    assert found["trc20"] == [{Address(grid.token).tron: "100"}]
    assert grid.ask("/v1/accounts/{subject}", "41" + "98" * 20)["data"] == []


# --- decoding --------------------------------------------------------------------------------------------------------


def log_of(signature: str, inputs: list[dict[str, Any]], topics: list[bytes], data: bytes) -> tuple[Log, bytes]:
    abi = [{"type": "Event", "name": signature.partition("(")[0], "inputs": inputs}]
    encoded = encode_message(read_message("ABI", {"entrys": abi}, visible=False))
    event = Event(b"\x11" * 20, (keccak(text=signature), *topics), data)
    return Log(event, 5, 6, b"\x22" * 32, 0), encoded


def test_every_kind_of_value_is_shown_as_text() -> None:
    inputs: list[dict[str, Any]] = [
        {"name": "", "type": "uint256", "indexed": True},
        {"name": "who", "type": "address", "indexed": True},
        {"name": "memo", "type": "string", "indexed": True},
        {"name": "yes", "type": "bool"},
        {"name": "id", "type": "trcToken"},
        {"name": "tags", "type": "bytes2[]"},
        {"name": "text", "type": "string"},
    ]
    signature = "E(uint256,address,string,bool,trcToken,bytes2[],string)"
    data = encode(["bool", "uint256", "bytes2[]", "string"], [True, 1_002_000, [b"ab"], "hey"])
    topics = [encode(["uint256"], [5]), encode(["address"], ["0x" + "33" * 20]), keccak(text="memo")]
    log, abi = log_of(signature, inputs, topics, data)
    found = event_json(log, abi, solid=True)
    assert {key: value for key, value in found["result"].items() if not key.isdigit() or key == "0"} == {
        "0": "5",
        "who": "0x" + "33" * 20,
        "memo": keccak(text="memo").hex(),
        "yes": "true",
        "id": "1002000",
        "tags": ["6162"],
        "text": "hey",
    }
    assert found["result_type"]["0"] == "uint256"


@given(st.lists(st.binary(min_size=32, max_size=32), max_size=3), st.binary(max_size=130))
def test_a_log_that_does_not_fit_its_abi_is_shown_without_values(topics: list[bytes], data: bytes) -> None:
    inputs: list[dict[str, Any]] = [
        {"name": "a", "type": "string"},
        {"name": "b", "type": "address[2]"},
        {"name": "c", "type": "tuple"},
    ]
    for kinds in (inputs[:1], inputs[:2], inputs):
        signature = f"E({','.join(kind['type'] for kind in kinds)})"
        log, abi = log_of(signature, kinds, topics, data)
        assert event_json(log, abi, solid=True)["result"].keys() <= {"0", "1", "a", "b"}


def test_an_event_that_is_not_in_the_abi_has_no_name() -> None:
    log, _ = log_of("E()", [], [], b"")
    assert (event_json(log, b"", solid=True)["event_name"], descriptions(b"")) == ("", {})
