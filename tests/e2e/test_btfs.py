"""BTFS cheques through the command line as users would: a renter's node issues, a host's node takes and cashes."""

from __future__ import annotations

import asyncio
import json
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from eth_abi.abi import encode

from contracts.loader import load
from node.demo.rails import DemoRail
from tests.contracts.bench import key
from tests.e2e.stage import StageNode, host_for, stage
from wallet.address import Address
from wallet.chains.abi import call_data, selector
from wallet.chains.base import Call, Receipt
from wallet.chains.evm import EvmChain
from wallet.outbox import MemoryOutboxStore, Outbox

BUILDER = key(41)
BTT = 10**18


@dataclass
class Builder:
    """Puts doubles of BTFS's contracts on a devnet, from outside, as anybody can."""

    rail: DemoRail
    factory: Address = field(init=False)
    logic: Address = field(init=False)

    def run(self, *calls: Call) -> list[Receipt]:
        async def send() -> list[Receipt]:
            chain = self.rail.open().chain
            assert isinstance(chain, EvmChain)
            outbox = Outbox(MemoryOutboxStore(), chain, BUILDER, wall=lambda: 0, poll=0.05)
            try:
                intents = [await outbox.submit(str(number), call) for number, call in enumerate(calls)]
                return [(await outbox.finish(intent, deadline=60))[1] for intent in intents]
            finally:
                await chain.close()

        return asyncio.run(send())

    def build(self) -> None:
        self.rail.fund(BUILDER.address)
        token = Address.parse(self.rail.process.ready["token"])
        codes = {"BtfsFactoryDouble": encode(["address"], [token.raw]), "BtfsTokenVaultDouble": b""}
        calls = [
            Call(Address(bytes(20)), load(name).bytecode + arguments, 0, "deploy", f"deploy {name}", creates=name)
            for name, arguments in codes.items()
        ]
        factory, logic = (receipt.contract for receipt in self.run(*calls))
        assert factory is not None
        assert logic is not None
        self.factory, self.logic, self.token = factory, logic, token

    def vault(self, issuer: Address, amount: int) -> Address:
        """A vault of the issuer's that holds so much."""
        init = call_data("init(address,address)", issuer, self.token)
        types = ["address", "address", "bytes32", "string", "bytes"]
        data = encode(types, [issuer.raw, self.logic.raw, issuer.raw.rjust(32, b"\0"), issuer.evm, init])
        deploy = Call(self.factory, selector(f"deployVault({','.join(types)})") + data, 0, "deployVault", "a vault")
        vault = self._foresee(deploy)
        fund = Call(self.token, call_data("mint(address,uint256)", vault, amount), 0, "mint", "fund it")
        self.run(deploy, fund)
        return vault

    def _foresee(self, call: Call) -> Address:
        """What a call would answer. The vault's address follows from its maker."""
        message = {"from": BUILDER.address.evm, "to": call.to.evm, "data": f"0x{call.data.hex()}"}
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "eth_call", "params": [message, "latest"]})
        request = urllib.request.Request(
            self.rail.process.ready["url"], data=body.encode(), headers={"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            return Address(bytes.fromhex(json.loads(answer.read())["result"][-40:]))


@dataclass
class Scene:
    """`vault` is the renter's and holds 100 BTT."""

    rail: DemoRail
    renter: StageNode
    host: StageNode
    vault: Address


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Iterator[Scene]:
    with stage(tmp_path_factory.mktemp("btfs")) as made:
        assert made.devnet is not None
        rail = DemoRail("bttc", "devnet-bttc", made.devnet)
        builder = Builder(rail)
        builder.build()
        network = {key: json.dumps(made.chain[key]) for key in ("token", "vault")}
        network |= {"endpoints": json.dumps([made.chain["url"]]), "btfs_factory": json.dumps(builder.factory.evm)}
        settings = {"rail.devnet-bttc": network, "speed": {"per_day": '"50 BTT"'}}
        nodes = [
            made.node(name, host_for(worker_id, 30 + number), **settings)
            for number, name in enumerate(("renter", "host"))
        ]
        for node in nodes:
            made.fund(node)
            node.start()
        renter, host = nodes
        yield Scene(rail, renter, host, builder.vault(Address.parse(renter.address), 100 * BTT))


def ask(node: StageNode, *arguments: str) -> Any:
    """What a command prints."""
    done = node.cli("--json", *arguments)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def refused(node: StageNode, *arguments: str) -> str:
    """The one line of a command that fails."""
    done = node.cli("btfs", *arguments)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
    return done.stderr


def test_a_cheque_goes_from_the_renters_vault_to_the_hosts_wallet(scene: Scene, tmp_path: Path) -> None:
    renter, host, vault = scene.renter, scene.host, scene.vault.evm
    me = Address.parse(host.address)
    file = tmp_path / "cheque.json"
    before = scene.rail.wallet(me)

    assert "nobody can be asked" in refused(renter, "issue", vault, host.address, "12.5")
    assert ask(renter, "btfs", "cheques") == []
    ask(renter, "btfs", "issue", vault, host.address, "12.5", "-o", str(file), "--yes")
    assert "exists already" in refused(renter, "issue", vault, host.address, "1", "-o", str(file), "--yes")

    taken = ask(host, "btfs", "receive", str(file))
    assert (int(taken["gain"]), taken["vault"]) == (25 * BTT // 2, vault)
    assert "is not higher" in refused(host, "receive", str(file))
    plan = ask(host, "btfs", "cash", "--dry-run")
    assert [(line["payout"], line["paid"]) for line in plan["cheques"]] == [(str(25 * BTT // 2), None)]
    assert "nobody can be asked" in refused(host, "cash")
    assert scene.rail.wallet(me) == before
    done = ask(host, "btfs", "cash", vault, "--yes")
    [line] = done["cheques"]
    assert (line["paid"], line["note"], line["transaction"]["ok"]) == (str(25 * BTT // 2), "", True)
    assert scene.rail.wallet(me) == before + 25 * BTT // 2
    assert ask(host, "btfs", "cash")["cheques"] == []

    # The renter's books hold the cheque as it was issued; the limits have counted it.
    [issued] = ask(renter, "btfs", "cheques")
    assert (issued["role"], json.loads(issued["cheque"])) == ("payee", json.loads(file.read_text()))
    limits = {row["setting"]: row["used"] for row in ask(renter, "wallet", "limits")}
    assert limits["speed.per_day"] == str(25 * BTT // 2)
    assert "per_day" in refused(renter, "issue", vault, host.address, "37.6", "--yes")

    before_crash = ask(host, "btfs", "cheques")
    host.kill()
    host.start()
    assert ask(host, "btfs", "cheques") == before_crash
    assert "is not higher" in refused(host, "receive", str(file))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("cash", "0x" + "55" * 20), "no cheque drawn on"),
        (("issue", "0x" + "55" * 20, "{host}", "1", "--yes"), "has not deployed a vault"),
        (("issue", "{vault}", "{host}", "1 BTT", "--yes"), "write TBTT"),
        (("issue", "{vault}", "{host}", "0", "--yes"), "at least 1 unit"),
        (("issue", "{vault}", "{host}", "1", "--token", "0x" + "55" * 20, "--yes"), "is not known here"),
        (("cheques", "--rail", "tron"), "no rail 'tron' is configured"),
    ],
)
def test_a_mistake_is_one_line(scene: Scene, arguments: tuple[str, ...], words: str) -> None:
    given = [text.format(vault=scene.vault, host=scene.host.address) for text in arguments]
    assert words in refused(scene.renter, *given)
