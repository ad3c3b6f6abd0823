"""What the calls of the storage contracts cost on both rails, for contracts/GAS.md."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple, Protocol

from node.devnet.tron.settings import TRX
from tests.contracts.bench import key
from tests.contracts.storage.bench import EPOCH, RepetitiveShard, StorageBench, Terms
from tests.contracts.storage.tron import TronStorageBench
from wallet.keys import PrivateKey

PRICE = 1_234_567_890_123_456_789
COLLATERAL, BOND, FUNDS = 17 * PRICE, PRICE // 3, 10_000 * PRICE
EPOCHS = 30
HEIGHTS = (0, 10, 15, 21)
"""Trees measured, up to 2^21 blocks: 32 GiB."""

_RENTER, _HOST, _PAYEE, _AUDITOR, _NEXT_HOST = (key(number) for number in range(71, 76))
_URL = "https://storage.example.org:8443/v1"

_PAGE = """
## Storage

The calls of `StorageMarket` and `HostRegistry` with a contract of {epochs} epochs, in accounts that are in use. On TRON
everything is burnt at {energy_price} sun per unit of energy and {bandwidth_price:,} sun per byte:

| call | BTTC: gas | TRON: energy | TRON: TRX |
|---|---:|---:|---:|
{rows}

*prove* and *answer* carry 16 KiB, which is most of their cost; a shard twice as large adds one hash. A contract whose
renter vouches costs `open` and `settle` at its end, whatever its term. A host whose renter is silent pays `beginProof`
and `prove` per epoch, so epochs must be worth more than that: days on BTTC, weeks on TRON.
"""


class Cost(NamedTuple):
    """`used`: gas or energy. `fee`: sun on TRON, 0 where gas is free."""

    used: int
    fee: int


class Ground(Protocol):
    """A rail to measure on. `contract` is one of "market", "registry"."""

    now: int
    separator: bytes

    def fund(self, owner: PrivateKey, amount: int) -> None: ...

    def allow(self, owner: PrivateKey, contract: str, amount: int) -> None: ...

    def begin_proof(self, terms: Terms, host: PrivateKey) -> int: ...

    def cost(self, contract: str, sender: PrivateKey, function: str, *arguments: Any) -> Cost: ...


class EvmGround(StorageBench):
    def allow(self, owner: PrivateKey, contract: str, amount: int) -> None:
        self.token.send(owner, "mint", owner.address, amount)
        self.token.send(owner, "approve", getattr(self, contract).address, amount)

    def cost(self, contract: str, sender: PrivateKey, function: str, *arguments: Any) -> Cost:
        return Cost(getattr(self, contract).send(sender, function, *arguments).gas, 0)


class TronGround(TronStorageBench):
    def allow(self, owner: PrivateKey, contract: str, amount: int) -> None:
        self.token.send(owner, "mint", owner.address, amount)
        self.token.send(owner, "approve", getattr(self, contract).address, amount)

    def cost(self, contract: str, sender: PrivateKey, function: str, *arguments: Any) -> Cost:
        receipt = getattr(self, contract).send(sender, function, *arguments).receipt
        return Cost(receipt.outcome.energy, receipt.fee)


class _Deal:
    """A contract under measurement: opened on sight, its calls by name. Costs go to `found`."""

    def __init__(self, ground: Ground, height: int, nonce: int, host: PrivateKey = _HOST) -> None:
        self.ground = ground
        self.shard = RepetitiveShard(height)
        self.host = host
        people = (_RENTER.address, host.address, _PAYEE.address, _AUDITOR.address)
        when = (ground.now + 10, EPOCHS, EPOCH, PRICE, COLLATERAL, nonce)
        self.terms = Terms(self.shard.root, self.shard.length, *people, *when)

    def signed(self, digest: bytes) -> list[bytes]:
        return [_RENTER.sign_digest(digest), self.host.sign_digest(digest)]

    @property
    def opening(self) -> list[bytes]:
        return self.signed(self.terms.id(self.ground.separator))

    @property
    def ending(self) -> list[bytes]:
        return self.signed(self.terms.cancellation(self.ground.separator, 1))

    def go_to_epoch(self, epoch: int) -> None:
        self.ground.now = self.terms.start + epoch * EPOCH

    def open(self) -> Cost:
        return self.call("open", *self.opening)

    def settle(self, through: int) -> Cost:
        return self.call("settle", through, _RENTER.sign_digest(self.terms.voucher(self.ground.separator, through)))

    def show(self, function: str) -> Cost:
        return self.call(function, *self.shard.proof(0))

    def call(self, function: str, *arguments: Any) -> Cost:
        return self._send(self.host, function, *arguments)

    def challenge(self) -> Cost:
        return self._send(_RENTER, "challenge", 0)

    def _send(self, sender: PrivateKey, function: str, *arguments: Any) -> Cost:
        return self.ground.cost("market", sender, function, self.terms, *arguments)


def measure(ground: Ground) -> Iterator[tuple[str, Cost]]:
    """Each call and its cost."""
    for owner in (_RENTER, _HOST, _PAYEE, _AUDITOR, _NEXT_HOST):
        ground.fund(owner, FUNDS)
    for contract in ("market", "registry"):
        ground.allow(_HOST, contract, 2 * PRICE)
    yield "`deposit`", ground.cost("market", _HOST, "deposit", PRICE)
    yield "`withdraw`", ground.cost("market", _HOST, "withdraw", PRICE, _HOST.address)
    yield from _vouched(ground)
    yield from _proved(ground)
    yield from _ended(ground)
    yield "`register`", ground.cost("registry", _HOST, "register", PRICE, _HOST.address, _URL, b"\x5a" * 32)
    yield "`announce`", ground.cost("registry", _HOST, "announce", _HOST.address, _URL, b"\xa5" * 32)


def _vouched(ground: Ground) -> Iterator[tuple[str, Cost]]:
    whole, parts = _Deal(ground, 0, 1), _Deal(ground, 0, 2)
    yield "`open`", whole.open()
    parts.open()
    parts.go_to_epoch(2)
    yield "`settle` in between", parts.settle(1)
    yield "`settle` again", parts.settle(2)
    whole.go_to_epoch(EPOCHS)
    yield "`settle` at the end, which closes", whole.settle(EPOCHS)


def _proved(ground: Ground) -> Iterator[tuple[str, Cost]]:
    for number, height in enumerate(HEIGHTS):
        deal = _Deal(ground, height, 10 + number)
        deal.open()
        deal.go_to_epoch(1)
        if number == 0:
            yield "`beginProof`", deal.call("beginProof")
        deal.go_to_epoch(2)
        ground.begin_proof(deal.terms, _HOST)
        yield f"`prove`, 2^{height} blocks", deal.show("prove")
        asked = deal.challenge()
        if number == 0:
            yield "`challenge`", asked
        yield f"`answer`, 2^{height} blocks", deal.show("answer")


def _ended(ground: Ground) -> Iterator[tuple[str, Cost]]:
    off, exited, failed, cancelled, old = (_Deal(ground, 0, 20 + number) for number in range(5))
    for deal in (off, exited, failed, cancelled, old):
        deal.open()
    yield "`callOff`", off.call("callOff")
    exited.go_to_epoch(0)
    yield "`exit`", exited.call("exit")
    yield "`cancel`", cancelled.call("cancel", 1, *cancelled.ending)
    new = _Deal(ground, 0, 30, _NEXT_HOST)
    yield "`handOver`", old.call("handOver", 1, old.ending, new.terms, new.opening)
    failed.challenge()
    failed.go_to_epoch(3)
    yield "`fail`", failed.call("fail")
    yield "`close`", exited.call("close")


def section() -> str:
    """The part of GAS.md about storage, measured now."""
    tron = TronGround([_RENTER, _HOST, _PAYEE, _AUDITOR, _NEXT_HOST], BOND)
    rows = [
        f"| {name} | {gas.used:,} | {energy.used:,} | {energy.fee / TRX:.1f} |"
        for (name, gas), (_, energy) in zip(measure(EvmGround(bond=BOND)), measure(tron), strict=True)
    ]
    settings = tron.chain.settings
    return _PAGE.format(
        epochs=EPOCHS,
        energy_price=settings.energy_price,
        bandwidth_price=settings.bandwidth_price,
        rows="\n".join(rows),
    )
