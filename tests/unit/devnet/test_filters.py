"""Filters: each hears what happens after it was made, once, within bounds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from node.devnet.chain import Chain
from node.devnet.errors import BadRequestError
from node.devnet.evm_filters import LIFETIME, MAX_FILTERS, MAX_ITEMS, Filters
from node.devnet.evm_json import data
from tests.unit.devnet.support import make_chain, pay, record, recorder

Ask = Callable[..., Any]


class Timer:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def chain() -> Chain:
    return make_chain()


@pytest.fixture
def timer() -> Timer:
    return Timer()


@pytest.fixture
def ask(chain: Chain, timer: Timer) -> Ask:
    methods = Filters(timer).methods()

    def ask(name: str, *parameters: object) -> Any:
        method = methods[f"eth_{name}"]
        return method.run(chain, *method.arguments(list(parameters)))

    return ask


def word(number: int) -> bytes:
    return number.to_bytes(32, "big")


def test_a_block_filter_tells_each_new_block_once(chain: Chain, ask: Ask) -> None:
    chain.mine()
    made = ask("newBlockFilter")
    first, second = (data(chain.mine().hash) for _ in range(2))
    assert ask("getFilterChanges", made) == [first, second]
    assert ask("getFilterChanges", made) == []


def test_a_pending_filter_tells_each_accepted_transaction(chain: Chain, ask: Ask) -> None:
    made = ask("newPendingTransactionFilter")
    at_once = pay(chain)
    chain.automine = False
    later = pay(chain)
    assert ask("getFilterChanges", made) == [data(at_once), data(later)]
    chain.mine()
    assert ask("getFilterChanges", made) == []


def test_a_log_filter_tells_what_matches(chain: Chain, ask: Ask) -> None:
    contract, other = recorder(chain), recorder(chain)
    record(chain, contract, 1)
    made = ask("newFilter", {"address": data(contract), "topics": [None, [data(word(2)), data(word(3))]]})
    wanted = [record(chain, contract, 2), record(chain, contract, 3)]
    record(chain, contract, 4)
    record(chain, other, 2)
    told = ask("getFilterChanges", made)
    assert [log["transactionHash"] for log in told] == list(map(data, wanted))
    assert ask("getFilterChanges", made) == []


def test_a_log_filter_keeps_to_its_blocks(chain: Chain, ask: Ask) -> None:
    contract = recorder(chain)
    first = record(chain, contract, 1)
    until = chain.head.number + 1
    made = ask("newFilter", {"fromBlock": "0x0", "toBlock": hex(until)})
    second = record(chain, contract, 2)
    record(chain, contract, 3)
    assert [log["transactionHash"] for log in ask("getFilterChanges", made)] == [data(second)]
    assert [log["transactionHash"] for log in ask("getFilterLogs", made)] == [data(first), data(second)]


def test_logs_that_are_taken_back_are_told_as_removed(chain: Chain, ask: Ask) -> None:
    contract = recorder(chain)
    made = ask("newFilter", {})
    snapshot = chain.snapshot()
    record(chain, contract, 1)
    chain.revert(snapshot)
    added, removed = ask("getFilterChanges", made)
    assert (added["removed"], removed["removed"]) == (False, True)
    assert {**removed, "removed": False} == added


def test_an_uninstalled_filter_is_gone(chain: Chain, ask: Ask) -> None:
    made = ask("newBlockFilter")
    assert ask("uninstallFilter", made) is True
    assert ask("uninstallFilter", made) is False
    with pytest.raises(BadRequestError, match="filter not found"):
        ask("getFilterChanges", made)
    assert not chain.watched


def test_only_a_log_filter_has_logs(ask: Ask) -> None:
    with pytest.raises(BadRequestError, match="not one for logs"):
        ask("getFilterLogs", ask("newBlockFilter"))


def test_a_filter_nobody_asks_expires(ask: Ask, timer: Timer) -> None:
    asked, forgotten = ask("newBlockFilter"), ask("newBlockFilter")
    timer.now = LIFETIME - 1
    ask("getFilterChanges", asked)
    timer.now = LIFETIME + 1
    assert ask("getFilterChanges", asked) == []
    with pytest.raises(BadRequestError, match="filter not found"):
        ask("getFilterChanges", forgotten)


def test_filters_are_bounded_in_number(ask: Ask, timer: Timer) -> None:
    for _ in range(MAX_FILTERS):
        ask("newBlockFilter")
    with pytest.raises(BadRequestError, match="uninstall one"):
        ask("newBlockFilter")
    timer.now = LIFETIME + 1
    ask("newBlockFilter")


def test_a_filter_that_collects_too_much_is_dropped(chain: Chain, ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("node.devnet.evm_filters.MAX_ITEMS", 3)
    assert MAX_ITEMS > 3
    made = ask("newBlockFilter")
    chain.mine(3)
    assert len(ask("getFilterChanges", made)) == 3
    chain.mine(4)
    with pytest.raises(BadRequestError, match="filter not found"):
        ask("getFilterChanges", made)
