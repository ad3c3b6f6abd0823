"""Keys, a market, contracts, a kept shard and a price table that the storage tests start from."""

from __future__ import annotations

from hashlib import sha256

from hypothesis import strategies as st

from node.storage.audit import Answer, Challenge, Proof
from node.storage.merkle import TreeHasher, TreeLayout
from node.storage.terms import DAY, PriceTable
from wallet.address import Address
from wallet.keys import PrivateKey
from wallet.storage_terms import Market, StorageContract

RENTER, HOST, AUDITOR, STRANGER = (PrivateKey(bytes((number,)) * 32) for number in (1, 2, 3, 4))
PAYEE = Address(b"\x05" * 20)
MARKET = Market(1029, Address(b"\x0a" * 20))
NOW = 1_800_000_000

ADDRESSES = st.binary(min_size=20, max_size=20).filter(any).map(Address)
WORDS = st.binary(min_size=32, max_size=32)


def contract(
    root: bytes = b"\x11" * 32,
    length: int = 100 * 2**20,
    auditor: Address = AUDITOR.address,
    start: int = NOW,
    epochs: int = 30,
    price_per_epoch: int = 1000,
    nonce: int = 0,
) -> StorageContract:
    return StorageContract(
        root, length, RENTER.address, HOST.address, PAYEE, auditor, start, epochs, DAY, price_per_epoch, 5000, nonce
    )


def table(
    storage_price: int = 10**15,
    free: int = 2**40,
    until: int = NOW + DAY,
    host: Address = HOST.address,
    max_epochs: int = 250,
    collateral_percent: int = 150,
) -> PriceTable:
    return PriceTable(host, PAYEE, storage_price, 7, 8, collateral_percent, DAY, 2, max_epochs, free, until)


class Kept:
    """A shard on a host: its bytes, its tree, and a contract about it."""

    def __init__(self, length: int) -> None:
        self.data = b"".join(sha256(b"%d" % at).digest() for at in range(-(-length // 32)))[:length]
        self.layout = TreeLayout(length)
        hasher = TreeHasher(self.layout)
        tree = bytearray(self.layout.size)
        for offset, part in (*hasher.update(self.data), *hasher.finish()):
            tree[offset : offset + len(part)] = part
        self.tree = bytes(tree)
        self.contract = contract(hasher.root, length)

    def proof(self, index: int) -> Proof:
        offset, length = self.layout.block(index)
        nodes = [self.tree[at : at + size] for at, size in self.layout.reads(index)]
        return Proof(self.data[offset : offset + length], self.layout.path(index, nodes))

    def answer(self, challenge: Challenge) -> Answer:
        return Answer(challenge.digest(MARKET), tuple(self.proof(index) for index in challenge.indices))
