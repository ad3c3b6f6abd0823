"""A chain in memory, or in a folder, and people who sign transactions on it."""

from __future__ import annotations

from pathlib import Path

from eth_keys.datatypes import PrivateKey
from eth_typing import Address
from eth_utils.crypto import keccak

from node.devnet.chain import GWEI, Chain, ChainSettings
from node.devnet.records import Transaction

COIN = 10**18
START = 1_700_000_000
ALICE, BOB = (PrivateKey(keccak(text=name)) for name in ("alice", "bob"))

# A contract that stores the first word of its call data in slot 0 and logs it as second topic after the topic 1.
# Without call data it reverts with the word 42.
_REVERTS = "36600e57602a60005260206000fd"
_RECORDS = "5b60003580600055600160006000a200"
_RUN = bytes.fromhex(_REVERTS + _RECORDS)
RECORDER = bytes.fromhex(f"60{len(_RUN):02x}600c60003960{len(_RUN):02x}6000f3") + _RUN


class Clock:
    """The machine's clock, moved by hand."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> int:
        return self.now


def address(owner: PrivateKey) -> bytes:
    return owner.public_key.to_canonical_address()


def make_chain(path: Path | None = None, clock: Clock | None = None, chain_id: int = 199) -> Chain:
    settings = ChainSettings(chain_id=chain_id, gas_price=GWEI, allocation={address(ALICE): 1000 * COIN})
    return Chain(settings, path, clock or Clock())


def signed(
    sender: PrivateKey,
    nonce: int,
    *,
    to: bytes = b"",
    value: int = 0,
    data: bytes = b"",
    gas: int = 200_000,
    price: int = GWEI,
    chain_id: int = 199,
) -> bytes:
    """Chain id 0: without replay protection."""
    unsigned = Transaction.create_unsigned_transaction(
        nonce=nonce, gas_price=price, gas=gas, to=Address(to), value=value, data=data
    )
    return unsigned.as_signed_transaction(sender, chain_id=chain_id).encode()


def pay(chain: Chain, value: int = COIN, to: bytes = address(BOB)) -> bytes:
    """Alice sends coins. Returns the transaction's hash."""
    return chain.submit(signed(ALICE, chain.next_nonce(address(ALICE)), to=to, value=value, gas=21_000))


def recorder(chain: Chain) -> bytes:
    """Deploy the recorder. Returns its address."""
    mined = chain.mined(chain.submit(signed(ALICE, chain.next_nonce(address(ALICE)), data=RECORDER)))
    assert mined is not None
    assert mined.created is not None
    return mined.created


def record(chain: Chain, contract: bytes, word: int) -> bytes:
    data = word.to_bytes(32, "big")
    return chain.submit(signed(ALICE, chain.next_nonce(address(ALICE)), to=contract, data=data))
