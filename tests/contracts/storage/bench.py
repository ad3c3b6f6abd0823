"""The real storage market on an in-memory chain: terms, shards, vouchers and proofs as a renter and a host make them.

Digests come from `wallet.digests` and trees from a few lines of our own here, so that the contract is held against
something that shares no code with it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from hashlib import sha256
from typing import NamedTuple

import pytest

from node.devnet.chain import Chain, ChainSettings
from tests.contracts.bench import START, Receipt, RevertedError, create, key
from wallet.address import Address
from wallet.digests import domain_separator, mask_chain_id, typed_digest, word
from wallet.keys import PrivateKey, keccak256

BLOCK = 16_384
BOND = 7
ANSWER_PERIOD = 500
EPOCH = 1000
"""Seconds."""

_CONTRACT_TYPE = keccak256(
    b"StorageContract(bytes32 root,uint64 length,address renter,address host,address payee,address auditor,"
    b"uint64 start,uint32 epochs,uint32 epochLength,uint256 pricePerEpoch,uint256 collateral,uint256 nonce)"
)
_VOUCHER_TYPE = keccak256(b"Voucher(bytes32 id,uint32 throughEpoch)")
_CANCEL_TYPE = keccak256(b"Cancel(bytes32 id,uint32 throughEpoch)")

Proof = tuple[bytes, list[bytes]]
"""A block and its path, from the leaf upwards."""


def separator(chain_id: int, market: Address) -> bytes:
    return domain_separator("bttnode StorageMarket", "1", mask_chain_id(chain_id), market)


@contextmanager
def refused(name: str, *arguments: object) -> Iterator[None]:
    """The contract refuses with this error, and with these arguments where some are given."""
    with pytest.raises(RevertedError) as caught:
        yield
    assert caught.value.name == name, caught.value
    assert arguments in ((), caught.value.arguments)


class Terms(NamedTuple):
    """Fields as in Solidity, in its order."""

    root: bytes
    length: int
    renter: Address
    host: Address
    payee: Address
    auditor: Address
    start: int
    epochs: int
    epoch_length: int
    price: int
    collateral: int
    nonce: int = 0

    def id(self, separator: bytes) -> bytes:
        fields: tuple[int | bytes | Address, ...] = self
        return typed_digest(separator, _CONTRACT_TYPE, *map(word, fields))

    def voucher(self, separator: bytes, through: int) -> bytes:
        return typed_digest(separator, _VOUCHER_TYPE, self.id(separator), word(through))

    def cancellation(self, separator: bytes, through: int) -> bytes:
        return typed_digest(separator, _CANCEL_TYPE, self.id(separator), word(through))


def index_of(terms: Terms, separator: bytes, seed: bytes) -> int:
    """Which block a seed chooses for a contract."""
    return int.from_bytes(keccak256(seed + terms.id(separator)), "big") % -(-terms.length // BLOCK)


class Shard:
    """A file and its BEP 52 tree. `seed` makes different files of one length."""

    def __init__(self, length: int, seed: str = "bep52") -> None:
        words = (sha256(f"{seed}:{number}".encode()).digest() for number in range(-(-length // 32)))
        self.data = b"".join(words)[:length]
        self.length = length

    @cached_property
    def _levels(self) -> list[list[bytes]]:
        leaves = [sha256(self.block(place)).digest() for place in range(self.blocks)]
        leaves += [bytes(32)] * ((1 << (len(leaves) - 1).bit_length()) - len(leaves))
        levels = [leaves]
        while len(levels[-1]) > 1:
            below = levels[-1]
            levels.append([sha256(below[place] + below[place + 1]).digest() for place in range(0, len(below), 2)])
        return levels

    @property
    def blocks(self) -> int:
        return -(-self.length // BLOCK)

    @property
    def leaves(self) -> list[bytes]:
        return self._levels[0]

    @property
    def root(self) -> bytes:
        return self._levels[-1][0]

    def block(self, index: int) -> bytes:
        return self.data[index * BLOCK : (index + 1) * BLOCK]

    def proof(self, index: int) -> Proof:
        path = [level[(index >> height) ^ 1] for height, level in enumerate(self._levels[:-1])]
        return self.block(index), path


class RepetitiveShard:
    """A file of 2^`height` times the same block, whose tree needs no memory: all nodes of a level are alike."""

    def __init__(self, height: int) -> None:
        self.length = BLOCK << height
        self._block = Shard(BLOCK).data
        self._path: list[bytes] = []
        self.root = sha256(self._block).digest()
        for _ in range(height):
            self._path.append(self.root)
            self.root = sha256(self.root + self.root).digest()

    def proof(self, _index: int) -> Proof:
        return self._block, self._path


class StorageBench:
    """A chain with token, market and registry. Time stands still unless moved; gas is free."""

    def __init__(self, chain_id: int = 199, bond: int = BOND) -> None:
        self.now = START
        self.chain = Chain(ChainSettings(chain_id=chain_id, gas_price=0), clock=lambda: self.now)
        self.token = create(self.chain, "TestBTT", ["string", "string"], ["Test BTT", "BTT"])
        kinds = ["address", "uint256", "uint256"]
        self.market = create(self.chain, "StorageMarket", kinds, [self.token.address, bond, ANSWER_PERIOD])
        self.registry = create(self.chain, "HostRegistry", kinds, [self.token.address, 1, ANSWER_PERIOD])
        self.separator = separator(chain_id, self.market.address)

    def fund(self, owner: PrivateKey, amount: int) -> None:
        """Mint and deposit."""
        self.token.send(owner, "mint", owner.address, amount)
        self.token.send(owner, "approve", self.market.address, amount)
        self.market.send(owner, "deposit", amount)

    def balance(self, owner: PrivateKey) -> int:
        return int(self.market.read("balance", owner.address))

    def wallet(self, owner: PrivateKey) -> int:
        return int(self.token.read("balanceOf", owner.address))

    def open(self, terms: Terms, renter: PrivateKey, host: PrivateKey, sender: PrivateKey | None = None) -> Receipt:
        message = terms.id(self.separator)
        signatures = (renter.sign_digest(message), host.sign_digest(message))
        return self.market.send(sender or key(0), "open", terms, *signatures)

    def settle(self, terms: Terms, through: int, signer: PrivateKey, sender: PrivateKey | None = None) -> Receipt:
        signature = signer.sign_digest(terms.voucher(self.separator, through))
        return self.market.send(sender or key(0), "settle", terms, through, signature)

    def cancel(self, terms: Terms, through: int, renter: PrivateKey, host: PrivateKey) -> Receipt:
        message = terms.cancellation(self.separator, through)
        return self.market.send(
            key(0), "cancel", terms, through, renter.sign_digest(message), host.sign_digest(message)
        )

    def begin_proof(self, terms: Terms, host: PrivateKey) -> int:
        """The index of the block to show, once the block that chooses it is there."""
        receipt = self.market.send(host, "beginProof", terms)
        self.chain.mine()
        seed = self.chain.block(receipt.mined.block_number + 1)
        assert seed is not None
        return self.index(terms, seed.hash)

    def index(self, terms: Terms, seed: bytes) -> int:
        return index_of(terms, self.separator, seed)
