"""The same storage market on a TRON chain in memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any

from coincurve import PrivateKey as CurveKey
from eth_abi.abi import encode

from contracts.loader import load
from node.devnet.tron.chain import TronChain
from node.devnet.tron.records import CreateContract, Mined, Operation, TriggerContract
from node.devnet.tron.settings import TRX
from tests.contracts.bench import NOBODY, Interface, key
from tests.contracts.storage.bench import ANSWER_PERIOD, BOND, Terms, index_of, separator
from tests.unit.devnet_tron.core.support import Clock, make_chain, send
from wallet.address import Address
from wallet.digests import mask_chain_id
from wallet.keys import PrivateKey

FEE_LIMIT = 15_000 * TRX


@dataclass
class TronContract(Interface):
    chain: TronChain
    address: Address
    serial: Iterator[int]
    """Makes transactions of one bench differ, and those of two benches alike: ids and addresses follow from them."""

    def read(self, function: str, *arguments: Any) -> Any:
        """Raises `RevertedError`."""
        call = TriggerContract(NOBODY.raw, self.address.raw, self.call_data(function, *arguments))
        outcome = self.chain.constant(call)
        if not outcome.ok:
            raise self.refusal(outcome.output)
        return self.result(function, outcome.output)

    def send(self, sender: PrivateKey, function: str, *arguments: Any) -> Mined:
        """Raises `RevertedError`."""
        call = TriggerContract(sender.address.raw, self.address.raw, self.call_data(function, *arguments))
        mined = _send(self.chain, call, sender, self.serial)
        if not mined.receipt.outcome.ok:
            raise self.refusal(mined.receipt.outcome.output)
        return mined


class TronStorageBench:
    """A chain with token and market. Everything is burnt: nobody has free bandwidth or a stake."""

    def __init__(self, people: Sequence[PrivateKey], bond: int = BOND) -> None:
        self._clock = Clock()
        self._serial = count(1)
        allocation = {person.address.raw: 10**6 * TRX for person in (key(0), *people)}
        self.chain = make_chain(clock=self._clock, allocation=allocation, assets=(), free_bandwidth=0)
        self.token = self._create("TestBTT", ["string", "string"], ["Test BTT", "BTT"])
        kinds = ["address", "uint256", "uint256"]
        self.market = self._create("StorageMarket", kinds, [self.token.address.evm, bond, ANSWER_PERIOD])
        self.registry = self._create("HostRegistry", kinds, [self.token.address.evm, 1, ANSWER_PERIOD])
        self.separator = separator(mask_chain_id(self.chain.settings.chain_id), self.market.address)

    @property
    def now(self) -> int:
        return self._clock.now // 1000

    @now.setter
    def now(self, seconds: int) -> None:
        self._clock.now = seconds * 1000

    def fund(self, owner: PrivateKey, amount: int) -> None:
        """Mint and deposit."""
        self.token.send(owner, "mint", owner.address, amount)
        self.token.send(owner, "approve", self.market.address, amount)
        self.market.send(owner, "deposit", amount)

    def begin_proof(self, terms: Terms, host: PrivateKey) -> int:
        self.market.send(host, "beginProof", terms)
        return index_of(terms, self.separator, self.chain.mine().id)

    def _create(self, name: str, types: Sequence[str], arguments: Sequence[Any]) -> TronContract:
        owner = key(0)
        code = load(name).bytecode + encode(types, arguments)
        creation = CreateContract(owner.address.raw, code, origin_energy_limit=10_000_000)
        mined = _send(self.chain, creation, owner, self._serial)
        assert mined.receipt.contract is not None, mined.receipt
        return TronContract(name, self.chain, Address(mined.receipt.contract), self._serial)


def _send(chain: TronChain, operation: Operation, sender: PrivateKey, serial: Iterator[int]) -> Mined:
    keys = [CurveKey(sender.secret)]
    return send(chain, operation, signers=keys, fee_limit=FEE_LIMIT, timestamp=chain.now() + next(serial))
