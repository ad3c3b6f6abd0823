"""TRON in memory: transactions that expire instead of nonces, energy and bandwidth instead of gas (see `fake_network`).

The bytes are TRON's own. The latest solidified block is `finality` blocks behind the head; transactions refer to it. As
in java-tron, expiry is judged by the time of the block before, and energy is paid at the price of the moment, up to the
fee limit that the sender has signed: when the price rises in between, the work is cut short, undone, and paid for.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from google.protobuf.message import DecodeError  # type: ignore[import-untyped]  # protobuf ships without annotations
from tronpy.proto import tron_pb2  # type: ignore[import-untyped]  # tronpy has neither annotations nor stubs

from wallet.address import TRON_PREFIX, Address
from wallet.amount import BTT, Token
from wallet.chains.base import (
    Block,
    Call,
    ExpiredError,
    Fee,
    InsufficientFundsError,
    Receipt,
    RevertedError,
    SignedTx,
    UnsignedTx,
)
from wallet.chains.fake_network import DAY, VAULT_ADDRESS, Charge, FakeNetwork, Mined
from wallet.chains.tron_raw import MAX_SUN, RESULT_BYTES, Anchor, bandwidth, sign_tron
from wallet.cheque import Rail
from wallet.errors import BadSignatureError
from wallet.keys import PrivateKey, recover

TRX = Token("TRX", 6)
CHAIN_ID = 0x2B6653DC
CALL_ENERGY = 100_000
BYTE_PRICE = 1_000
"""Sun per byte of bandwidth: nobody has staked anything here."""
LIFE = 60
"""Seconds from the head block's time until a transaction expires."""
MS = 1000

_MESSAGES = {"TransferContract": tron_pb2.TransferContract, "TriggerSmartContract": tron_pb2.TriggerSmartContract}


@dataclass(frozen=True, slots=True)
class TronTx:
    """What a network reads out of raw bytes; `size` of all of them, `fee_limit` in sun."""

    hash: bytes
    sender: Address
    to: Address
    value: int
    data: bytes
    fee_limit: int
    anchor: Anchor
    size: int


class FakeTronChain(FakeNetwork[TronTx]):
    """Implements `wallet.chains.base.ChainAdapter`, without TRC-10 and new contracts. `price`: of energy, in sun.

    `stubborn`: the server takes bytes that it has seen before for delivered, whatever became of them, as java-tron does
    for an hour (DUP_TRANSACTION_ERROR).
    """

    expires = True

    def __init__(
        self,
        *,
        token: Token = BTT,
        finality: int = 2,
        notice_period: int = DAY,
        block_time: int = 3,
        max_fee: int | None = None,
    ) -> None:
        super().__init__(
            Rail(f"tron:0x{CHAIN_ID:x}", CHAIN_ID, VAULT_ADDRESS, token),
            TRX,
            finality=finality,
            notice_period=notice_period,
            block_time=block_time,
            max_fee=max_fee,
        )
        self.stubborn = False
        self._seen: set[bytes] = set()
        self._last_timestamp = 0

    # --- rules -------------------------------------------------------------------------------------------------------

    def _read(self, raw: bytes) -> TronTx:
        return read_tron(raw)

    def _admit(self, tx: TronTx) -> None:
        if self.stubborn and tx.hash in self._seen:
            return
        if not self._refers(tx):
            raise ExpiredError("the block that the transaction refers to is not part of the chain")
        if self._head_ms >= tx.anchor.expiration:
            raise ExpiredError("the transaction has expired")
        self._check_funds(tx.sender, tx.value + self._burnt(tx) + tx.fee_limit)
        self._seen.add(tx.hash)
        self._pool[tx.hash] = tx

    def _fits(self, tx: TronTx, mined: Mined[TronTx]) -> bool:
        before = self._chain[mined.block.number - 1].block
        affordable = mined.world.native[tx.sender] >= tx.value + self._burnt(tx) + tx.fee_limit
        return affordable and before.timestamp * MS < tx.anchor.expiration and self._refers(tx)

    def _lives(self, tx: TronTx, mined: Mined[TronTx]) -> bool:
        return mined.block.timestamp * MS < tx.anchor.expiration

    def _excluded(self, tx: UnsignedTx) -> bool:
        return self._final.block.timestamp * MS > Anchor.unpack(tx.anchor).expiration

    def _charge(self, tx: TronTx) -> Charge:
        if not tx.data:
            return Charge(0, self._burnt(tx))
        if CALL_ENERGY * self.price > tx.fee_limit:
            return Charge(tx.fee_limit // self.price, tx.fee_limit + self._burnt(tx), covered=False)
        return Charge(CALL_ENERGY, CALL_ENERGY * self.price + self._burnt(tx))

    def _fee(self, call: Call, sender: Address) -> Fee:
        if call.trc10:
            raise RevertedError("this network has no TRC-10 tokens")
        if call.value > MAX_SUN:
            raise InsufficientFundsError("nobody holds as much")
        limit = CALL_ENERGY if call.data else 0
        return Fee(limit, self.price, bandwidth(call, sender, limit * self.price) * BYTE_PRICE)

    # --- writing -----------------------------------------------------------------------------------------------------

    async def next_nonce(self, sender: Address) -> int:
        self.hook("next_nonce")
        return 0

    async def prepare(self, call: Call, sender: Address, nonce: int, fee: Fee) -> UnsignedTx:
        self.hook("prepare")
        self._last_timestamp = max(self._head_ms, self._last_timestamp + 1)
        solid = self._final.block
        anchor = Anchor(*_reference(solid), expiration=self._head_ms + LIFE * MS, timestamp=self._last_timestamp)
        return UnsignedTx(call, sender, 0, self._bounded(fee), anchor.pack())

    def sign(self, tx: UnsignedTx, key: PrivateKey) -> SignedTx:
        return sign_tron(tx, key)

    async def outbid(self, tx: UnsignedTx) -> UnsignedTx | None:
        self.hook("outbid")
        return None

    async def why_reverted(self, tx: UnsignedTx, receipt: Receipt) -> str:
        if tx.call.data and receipt.fee_used < CALL_ENERGY:
            return "it ran out of energy"
        return await super().why_reverted(tx, receipt)

    # --- the parts ---------------------------------------------------------------------------------------------------

    @property
    def _head_ms(self) -> int:
        return self._chain[-1].block.timestamp * MS

    def _burnt(self, tx: TronTx) -> int:
        """Sun for bandwidth."""
        return (tx.size + RESULT_BYTES) * BYTE_PRICE

    def _refers(self, tx: TronTx) -> bool:
        """TAPOS: the transaction belongs to this chain, whatever a reorganisation has made of it."""
        wanted = (tx.anchor.ref_block_bytes, tx.anchor.ref_block_hash)
        return any(_reference(mined.block) == wanted for mined in reversed(self._chain))


def _reference(block: Block) -> tuple[bytes, bytes]:
    """What a transaction tells of the block it refers to: two bytes of its number, eight of its id."""
    return block.number.to_bytes(8, "big")[6:], block.hash[8:16]


def read_tron(raw: bytes) -> TronTx:
    """Transfers of TRX and contract calls, signed by one key. Raises `ValueError` for anything else."""
    try:
        transaction = tron_pb2.Transaction.FromString(raw)
        (contract,), (signature,) = transaction.raw_data.contract, transaction.signature
        parameter = _MESSAGES[contract.parameter.type_url.rpartition(".")[2]].FromString(contract.parameter.value)
    except (DecodeError, KeyError, ValueError):
        raise ValueError("the bytes are no transfer and no call on TRON") from None
    raw_data = transaction.raw_data
    identity = hashlib.sha256(raw_data.SerializeToString()).digest()
    sender = _address(parameter.owner_address)
    try:
        signer = recover(identity, signature)
    except BadSignatureError as error:
        raise ValueError(str(error)) from None
    if signer != sender:
        raise ValueError("somebody else has signed it")
    is_call = isinstance(parameter, tron_pb2.TriggerSmartContract)
    return TronTx(
        hash=identity,
        sender=sender,
        to=_address(parameter.contract_address if is_call else parameter.to_address),
        value=parameter.call_value if is_call else parameter.amount,
        data=parameter.data if is_call else b"",
        fee_limit=raw_data.fee_limit,
        anchor=Anchor(raw_data.ref_block_bytes, raw_data.ref_block_hash, raw_data.expiration, raw_data.timestamp),
        size=len(raw),
    )


def _address(raw: bytes) -> Address:
    if len(raw) != 21 or not raw.startswith(TRON_PREFIX):
        raise ValueError("an address of TRON has 21 bytes, the first of them 0x41")
    return Address(raw[1:])
