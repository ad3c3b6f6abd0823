"""Play money for whoever asks: TRX from the deployer, freshly minted test BTT, and the old TRC-10 token."""

from __future__ import annotations

from dataclasses import dataclass

from eth_abi.abi import encode
from eth_utils.crypto import keccak

from node.devnet.errors import BadRequestError
from node.devnet.tron.chain import TronChain
from node.devnet.tron.deployment import BTTOLD, FEE_LIMIT, hex_address, send
from node.devnet.tron.settings import TRX

NATIVE_GIFT = 100_000 * TRX
TOKEN_GIFT = 1_000_000 * 10**18
LARGEST_NATIVE, LARGEST_TOKEN, LARGEST_ASSET = 10**8 * TRX, 10**12 * 10**18, 10**15

_MINT = keccak(text="mint(address,uint256)")[:4]


@dataclass(frozen=True, slots=True)
class TronFaucet:
    """`token` is the TestBTT contract."""

    token: bytes

    def fund(
        self, chain: TronChain, address: bytes, native: int = NATIVE_GIFT, token: int = TOKEN_GIFT, asset: int = 0
    ) -> list[bytes]:
        """Give sun, test BTT and TRC-10 units; 0 gives nothing. Returns transaction ids. Raises `DevnetError`."""
        limits = (("sun", native, LARGEST_NATIVE), ("token", token, LARGEST_TOKEN), ("TRC-10", asset, LARGEST_ASSET))
        for unit, amount, limit in limits:
            if not 0 <= amount <= limit:
                raise BadRequestError(f"the faucet gives at most {limit} {unit} units at once")
        to, sent = hex_address(address), []
        if native:
            sent.append(send(chain, "TransferContract", {"to_address": to, "amount": native}))
        if token:
            sent.append(send(chain, "TriggerSmartContract", self.minting(address, token), FEE_LIMIT))
        if asset:
            name = str(BTTOLD.number).encode().hex()
            sent.append(send(chain, "TransferAssetContract", {"to_address": to, "asset_name": name, "amount": asset}))
        return [mined.transaction.id for mined in sent]

    def minting(self, address: bytes, amount: int) -> dict[str, str]:
        """The fields of the transaction that makes new test BTT."""
        data = _MINT + encode(["address", "uint256"], [address, amount])
        return {"contract_address": hex_address(self.token), "data": data.hex()}
