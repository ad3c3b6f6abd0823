"""Play money for whoever asks: native coins from the deployer, and freshly minted test BTT."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from eth_abi.abi import encode
from eth_utils.crypto import keccak

from node.devnet.chain import Chain
from node.devnet.deployment import send
from node.devnet.errors import BadRequestError
from node.devnet.evm_json import address_in, data, quantity_in
from node.devnet.evm_method import Method

NATIVE_GIFT = 1_000_000 * 10**18
TOKEN_GIFT = 1_000_000 * 10**18
LARGEST_GIFT = 10**12 * 10**18

_TRANSFER_GAS, _MINT_GAS = 21_000, 100_000
_MINT = keccak(text="mint(address,uint256)")[:4]


@dataclass(frozen=True, slots=True)
class Faucet:
    """`token` is the TestBTT contract."""

    token: bytes

    def fund(self, chain: Chain, address: bytes, native: int = NATIVE_GIFT, token: int = TOKEN_GIFT) -> list[bytes]:
        """Give both amounts, in smallest units; 0 gives nothing. Returns transaction hashes. Raises `DevnetError`."""
        if not (0 <= native <= LARGEST_GIFT and 0 <= token <= LARGEST_GIFT):
            raise BadRequestError(f"the faucet gives at most {LARGEST_GIFT} units at once")
        hashes = []
        if native:
            hashes.append(send(chain, address, b"", value=native, gas=_TRANSFER_GAS))
        if token:
            mint = _MINT + encode(["address", "uint256"], [address, token])
            hashes.append(send(chain, self.token, mint, gas=_MINT_GAS))
        return hashes

    def methods(self) -> Mapping[str, Method]:
        """`bttnode_faucet(address, native?, token?)` for the JSON-RPC door: returns the transaction hashes."""

        def fund(chain: Chain, address: bytes, native: int, token: int) -> list[str]:
            return [data(transaction) for transaction in self.fund(chain, address, native, token)]

        amounts = ((quantity_in, NATIVE_GIFT), (quantity_in, TOKEN_GIFT))
        return {"bttnode_faucet": Method(fund, (address_in,), amounts)}
