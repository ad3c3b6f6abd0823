"""The real vault bytecode on an in-memory chain, as Python calls."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from eth_abi.abi import decode, encode
from eth_keys.datatypes import PrivateKey as RawKey
from eth_typing import Address as RawAddress
from eth_utils.abi import collapse_if_tuple
from eth_utils.crypto import keccak

from contracts.loader import load
from node.devnet.chain import Chain, ChainSettings
from node.devnet.errors import CallFailedError
from node.devnet.records import Call, Event, Mined, Transaction
from wallet.address import Address
from wallet.cheque import Cheque, Rail, SignedCheque, sign_cheque
from wallet.digests import mask_chain_id
from wallet.keys import PrivateKey, compact_signature

NOBODY = Address(bytes(20))
NOTICE = 86_400
GAS = 12_000_000
START = 1_700_000_000


class RevertedError(Exception):
    """A contract's refusal: the error's name and its arguments."""

    def __init__(self, name: str, arguments: tuple[Any, ...]) -> None:
        super().__init__(f"{name}{arguments}")
        self.name = name
        self.arguments = arguments


@dataclass(frozen=True)
class Receipt:
    """What a transaction did: `events` of the called contract as (name, arguments in ABI order)."""

    mined: Mined
    events: list[tuple[str, tuple[Any, ...]]]

    @property
    def gas(self) -> int:
        return self.mined.gas_used


def key(number: int) -> PrivateKey:
    return PrivateKey(keccak(b"test key %d" % number))


def _plain(value: Any) -> Any:
    match value:
        case Address():
            return value.evm
        case Cheque():
            return (value.payer.evm, value.payee.evm, value.cumulative)
        case SignedCheque():
            return (_plain(value.cheque), *compact_signature(value.signature))
        case list():
            return [_plain(item) for item in value]
        case tuple():
            return tuple(_plain(item) for item in value)
    return value


@dataclass
class Interface:
    """What a contract's ABI says: calls into bytes, and bytes into events and refusals."""

    name: str
    _abi: dict[tuple[str, str], Any] = field(init=False)

    def __post_init__(self) -> None:
        self._abi = {(str(entry["type"]), str(entry.get("name", ""))): entry for entry in load(self.name).abi}

    def call_data(self, function: str, *arguments: Any) -> bytes:
        types = [collapse_if_tuple(entry) for entry in self._abi["function", function]["inputs"]]
        selector = keccak(text=f"{function}({','.join(types)})")[:4]
        return selector + encode(types, [_plain(argument) for argument in arguments])

    def result(self, function: str, output: bytes) -> Any:
        values = decode([collapse_if_tuple(entry) for entry in self._abi["function", function]["outputs"]], output)
        return values[0] if len(values) == 1 else values

    def event(self, event: Event) -> tuple[str, tuple[Any, ...]]:
        for (kind, name), entry in self._abi.items():
            types = [collapse_if_tuple(argument) for argument in entry.get("inputs", ())]
            if kind == "event" and keccak(text=f"{name}({','.join(types)})") == event.topics[0]:
                indexed = iter(event.topics[1:])
                rest = iter(
                    decode([t for t, a in zip(types, entry["inputs"], strict=True) if not a["indexed"]], event.data)
                )
                return name, tuple(
                    _readable(decode([t], next(indexed))[0] if a["indexed"] else next(rest))
                    for t, a in zip(types, entry["inputs"], strict=True)
                )
        raise AssertionError("an event the ABI does not know")

    def refusal(self, output: bytes) -> RevertedError:
        for (kind, name), entry in self._abi.items():
            types = [collapse_if_tuple(argument) for argument in entry.get("inputs", ())]
            if kind == "error" and keccak(text=f"{name}({','.join(types)})")[:4] == output[:4]:
                return RevertedError(name, tuple(map(_readable, decode(types, output[4:]))))
        return RevertedError(output.hex(), ())


@dataclass
class Contract(Interface):
    """A deployed contract whose functions are called by name."""

    chain: Chain
    address: Address

    def read(self, function: str, *arguments: Any, sender: Address = NOBODY) -> Any:
        """A view, or a trial of a change in the next block. Raises `RevertedError`."""
        call = Call(sender=sender.raw, to=self.address.raw, data=self.call_data(function, *arguments))
        try:
            output = self.chain.call_next(call)
        except CallFailedError as error:
            raise self.refusal(error.output) from None
        return self.result(function, output)

    def send(self, sender: PrivateKey, function: str, *arguments: Any) -> Receipt:
        """A transaction. Raises `RevertedError` when it fails in its block."""
        mined = transact(self.chain, sender, self.address.raw, self.call_data(function, *arguments))
        if not mined.success:
            self.read(function, *arguments, sender=sender.address)
            raise AssertionError("failed as a transaction, but not as a call")
        events = [log.event for log in self.chain.logs_of(mined) if log.event.address == self.address.raw]
        return Receipt(mined, [self.event(event) for event in events])


def _readable(value: Any) -> Any:
    return Address.parse(value) if isinstance(value, str) and len(value) == 42 else value


def submit(chain: Chain, sender: PrivateKey, to: bytes, data: bytes) -> bytes:
    """The transaction's hash; it is in a block already if the chain mines by itself."""
    unsigned = Transaction.create_unsigned_transaction(
        nonce=chain.next_nonce(sender.address.raw), gas_price=0, gas=GAS, to=RawAddress(to), value=0, data=data
    )
    signed = unsigned.as_signed_transaction(RawKey(sender.secret), chain_id=chain.settings.chain_id)
    return chain.submit(signed.encode())


def transact(chain: Chain, sender: PrivateKey, to: bytes, data: bytes) -> Mined:
    mined = chain.mined(submit(chain, sender, to, data))
    assert mined is not None
    return mined


def create(chain: Chain, name: str, types: Sequence[str], arguments: Sequence[Any]) -> Contract:
    data = load(name).bytecode + encode(types, [_plain(argument) for argument in arguments])
    mined = transact(chain, key(0), b"", data)
    assert mined.created is not None, f"{name} was not deployed"
    return Contract(name, chain, Address(mined.created))


def greedy_token(chain: Chain) -> Address:
    """A token that keeps a tenth of every transfer, and in which one contract alone holds anything.

    balanceOf answers slot 0; anything else adds nine tenths of the third argument to slot 0 and answers true.
    """
    is_balance_of = "60003560e01c6370a0823114602957"
    add_nine_tenths = "600a6009604435020460005401600055600160005260206000f3"
    answer_slot_0 = "5b60005460005260206000f3"
    code = bytes.fromhex(is_balance_of + add_nine_tenths + answer_slot_0)
    mined = transact(chain, key(0), b"", bytes.fromhex(f"60{len(code):02x}600c60003960{len(code):02x}6000f3") + code)
    assert mined.created is not None
    return Address(mined.created)


class Bench:
    """A chain with token and vault. Time stands still unless moved; gas is free, so balances are plain to read."""

    def __init__(self, chain_id: int = 199) -> None:
        self.now = START
        self.chain = Chain(ChainSettings(chain_id=chain_id, gas_price=0), clock=lambda: self.now)
        self.token = create(self.chain, "TestBTT", ["string", "string"], ["Test BTT", "BTT"])
        self.vault = create(self.chain, "ChequeVault", ["address", "uint256"], [self.token.address, NOTICE])
        short = mask_chain_id(chain_id)
        name = f"eip155:{chain_id}" if short == chain_id else f"tron:{short:#x}"
        self.rail = Rail(name, chain_id, self.vault.address)

    def fund(self, payer: PrivateKey, amount: int) -> None:
        """Mint and deposit."""
        self.token.send(payer, "mint", payer.address, amount)
        self.token.send(payer, "approve", self.vault.address, amount)
        self.vault.send(payer, "deposit", amount)

    def cheque(
        self, payer: PrivateKey, payee: PrivateKey | Address, cumulative: int, signer: PrivateKey | None = None
    ) -> SignedCheque:
        to = payee if isinstance(payee, Address) else payee.address
        return sign_cheque(self.rail, Cheque(payer.address, to, cumulative), signer or payer)

    def cash(self, sender: PrivateKey, signed: SignedCheque, recipient: Address) -> Receipt:
        return self.vault.send(sender, "cash", signed.cheque, signed.signature, recipient)

    def cash_many(self, sender: PrivateKey, cheques: list[SignedCheque], recipient: Address) -> Receipt:
        return self.vault.send(sender, "cashMany", cheques, recipient)

    def wallet(self, owner: PrivateKey) -> int:
        return int(self.token.read("balanceOf", owner.address))

    def balance(self, owner: PrivateKey) -> int:
        return int(self.vault.read("balance", owner.address))
