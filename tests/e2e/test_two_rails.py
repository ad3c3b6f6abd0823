"""One key on two rails, through the command line as a user would: money is shown, sent, refused and found again."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from node.demo.processes import DemoError, Node
from node.demo.rails import DemoRail
from wallet.address import Address

STRANGER, RECEIVER = Address(b"\x77" * 20), Address(b"\x66" * 20)
BTT, TRX = 10**18, 10**6


@pytest.fixture(scope="module")
def rails(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, DemoRail]]:
    folder = tmp_path_factory.mktemp("rails")
    with ExitStack() as stack:
        made = {}
        for short in ("bttc", "tron"):
            made[short] = DemoRail.start(short, folder)
            stack.callback(made[short].process.stop)
        yield made


@pytest.fixture(scope="module")
def node(rails: dict[str, DemoRail], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    folder = tmp_path_factory.mktemp("node")
    node = Node("node", folder / "home")
    deployments = []
    for short, rail in rails.items():
        path = folder / f"{short}.json"
        path.write_text(json.dumps(rail.process.ready))
        deployments += ["--deployment", str(path)]
    made = node.cli(
        *("init", *deployments, "--listen", "127.0.0.1:0", "--api-port", "0"),
        *("--set", 'wallet.per_transfer=["500 BTT"]', "--set", 'wallet.per_day=["600 TBTT"]'),
        *("--set", "node.dht=false", "--set", "node.local_discovery=false", "--set", "node.port_mapping=false"),
    )
    node.address = made["address"]
    for rail in rails.values():
        rail.fund(Address.parse(node.address))
    node.up(folder)
    yield node
    node.running.stop()


def holdings(node: Node) -> dict[tuple[str, str], int]:
    """(rail, symbol) → units."""
    rows: list[Any] = node.cli("wallet", "balance")
    return {(rail["rail"], asset["symbol"]): int(asset["amount"]) for rail in rows for asset in rail["assets"]}


def test_a_transfer_moves_what_it_says_and_costs_what_it_says(node: Node, rails: dict[str, DemoRail]) -> None:
    before = holdings(node)
    quote = node.cli("wallet", "send", "5 TRX", RECEIVER.tron, "--dry-run")
    assert holdings(node) == before
    sent = node.cli("wallet", "send", "5 TRX", RECEIVER.tron, "--yes")
    assert int(sent["fee"]) <= int(quote["fee"])
    after = holdings(node)
    assert before["devnet-tron", "TRX"] - after["devnet-tron", "TRX"] == 5 * TRX + int(sent["fee"])

    node.cli("wallet", "send", "7.5 BTT", RECEIVER.tron, "--rail", "devnet-tron", "--yes")
    assert rails["tron"].wallet(RECEIVER) == 15 * BTT // 2
    node.cli("wallet", "send", "2 TBTT", RECEIVER.evm, "--yes")
    assert rails["bttc"].wallet(RECEIVER) == 2 * BTT

    for rail, texts in (("devnet-tron", ["send 7.5 BTT", "send 5 TRX"]), ("devnet-bttc", ["send 2 TBTT"])):
        lines = node.cli("wallet", "history", "--rail", rail)[rail]
        ours = [line for line in lines if line["text"].endswith((RECEIVER.evm, RECEIVER.tron))]
        assert [line["text"].partition(" to ")[0] for line in ours] == texts
        assert {line["state"] for line in ours} == {"final"}
        assert any(line["kind"] == "received" for line in lines)


def test_wrapping_is_one_to_one_and_back(node: Node) -> None:
    node.cli("wallet", "wrap", "30", "--rail", "devnet-bttc", "--yes")
    assert holdings(node)["devnet-bttc", "WBTT"] == 30 * BTT
    node.cli("wallet", "unwrap", "29.5", "--rail", "devnet-bttc", "--yes")
    assert holdings(node)["devnet-bttc", "WBTT"] == BTT // 2
    with pytest.raises(DemoError, match="devnet-tron knows no token that wraps TRX"):
        node.cli("wallet", "wrap", "1", "--rail", "devnet-tron", "--yes")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("5 TRX", STRANGER.evm), "is an EVM address, and this network is TRON"),
        (("5 TBTT", STRANGER.tron), "is a TRON address, and this network is an EVM chain"),
        (("5 TRX", STRANGER.tron[:-1] + ("1" if STRANGER.tron[-1] != "1" else "2")), "checksum does not match"),
        (("5 BTT", STRANGER.tron), "several rails are configured"),
        (("5 XYZ", STRANGER.tron, "--rail", "devnet-tron"), "has no 'XYZ': choose one of TRX, BTT, BTTOLD"),
        (("5", STRANGER.tron), "of which asset?"),
        (("501 BTT", STRANGER.tron, "--rail", "devnet-tron"), "above your limit of 500 BTT for one transfer"),
        (("599 TBTT", STRANGER.evm), "raise [wallet] per_day"),
        (("99999999999 TRX", STRANGER.tron), "the wallet holds"),
        (("1" + "0" * 78 + " units", STRANGER.tron, "--asset", "TRX"), "is out of range"),
        (("0.0000001 TRX", STRANGER.tron), "has 7 decimals, but TRX has 6"),
        (("1 TRX", STRANGER.tron, "--max-fee", "0.01"), "that you allowed"),
        (("1 TRX", STRANGER.tron, "--max-fee", "5 BTT"), "write TRX"),
    ],
)
def test_a_mistake_is_one_line_and_nothing_is_sent(node: Node, arguments: tuple[str, ...], words: str) -> None:
    if words == "raise [wallet] per_day":
        node.cli("wallet", "send", "2 TBTT", STRANGER.evm, "--yes")
    before = holdings(node)
    with pytest.raises(DemoError) as found:
        node.cli("wallet", "send", *arguments, "--yes")
    assert words in str(found.value)
    assert "Traceback" not in str(found.value)
    assert holdings(node) == before


def test_without_a_terminal_nothing_moves_unasked(node: Node) -> None:
    with pytest.raises(DemoError, match="nobody can be asked"):
        node.cli("wallet", "send", "1 TRX", STRANGER.tron)


def test_a_deposit_goes_to_the_named_rail_only(node: Node, rails: dict[str, DemoRail]) -> None:
    own = Address.parse(node.address)
    with pytest.raises(DemoError, match="several rails are configured"):
        node.cli("vault", "deposit", "10")
    node.cli("vault", "deposit", "10", "--rail", "devnet-tron")
    assert (rails["tron"].deposit(own), rails["bttc"].deposit(own)) == (10 * BTT, 0)
    node.cli("vault", "authorise", STRANGER.tron, "5", "--rail", "devnet-tron", "--yes")
    node.cli("vault", "revoke", STRANGER.tron, "--rail", "devnet-tron", "--yes")


def test_limits_show_what_is_used_up(node: Node) -> None:
    rows = {(row["setting"], row["symbol"]): row for row in node.cli("wallet", "limits")}
    assert rows["wallet.per_transfer", "BTT"]["limit"] == str(500 * BTT)
    assert rows["wallet.per_day", "TBTT"]["limit"] == str(600 * BTT)
    assert int(rows["wallet.per_day", "TBTT"]["used"]) % BTT == 0


@pytest.mark.parametrize("network", ["devnet-bttc", "devnet-tron"])
def test_the_contracts_are_deployed_from_the_command_line(node: Node, network: str) -> None:
    made = node.cli("contracts", "deploy", "--network", network, "--test-token", "--yes")
    assert set(made) == {"TestBTT", "ChequeVault", "StorageMarket", "HostRegistry"}
    assert len({Address.parse(row["address"]) for row in made.values()}) == 4
    with pytest.raises(DemoError, match="has all contracts"):
        node.cli("contracts", "deploy", "--network", network, "--yes")
    with pytest.raises(DemoError, match="REAL MONEY"):
        node.cli("contracts", "deploy", "--network", "tron", "--yes")
