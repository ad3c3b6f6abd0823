"""What stands on a fresh devnet: test BTT and our contracts over it, at addresses anybody can know in advance.

Contract addresses follow from the deployer and its nonces, so every devnet has the same ones. The deployer's key is
public on purpose: it owns nothing but play money.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

from eth._utils.address import generate_contract_address
from eth_abi.abi import encode
from eth_keys.datatypes import PrivateKey
from eth_typing import Address as RawAddress
from eth_utils.crypto import keccak

from contracts.loader import load
from node.devnet.chain import Chain
from node.devnet.errors import DevnetError
from node.devnet.records import Call, Transaction
from wallet.address import Address

DEPLOYER_KEY = PrivateKey(keccak(text="bttnode devnet deployer"))
DEPLOYER = RawAddress(DEPLOYER_KEY.public_key.to_canonical_address())
DEPLOYER_BALANCE = 10**15 * 10**18
"""Native units; the faucet lives on it."""
DEPLOY_GAS = 6_000_000
CHALLENGE_BOND, MIN_STAKE = 10**18, 100 * 10**18
"""Units: a whole BTT for a challenge of a storage host, a hundred to be one. Play money, so they are small."""


@dataclass(frozen=True, slots=True)
class Periods:
    """Seconds: until a deposit may leave the vault and a host's stake the registry (`notice`), and for the answer to a
    challenge of a storage host."""

    notice: int = 86_400
    answer: int = 3_600


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """Where things are. `chain` is the CAIP-2 name; addresses are EIP-55 text; periods in seconds."""

    url: str
    chain: str
    chain_id: int
    token: str
    vault: str
    deployer: str
    notice_period: int
    storage_market: str = ""
    host_registry: str = ""
    answer_period: int = 0
    wbtt: str = ""
    """Native coins as a token, where the chain has such a contract."""

    def to_json(self) -> str:
        """One line."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Deployment:
        """Raises `ValueError` or `TypeError` for anything `to_json` did not write."""
        return cls(**json.loads(text))

    def write(self, path: Path) -> None:
        """Replace `path` at once: a reader never sees half a file."""
        temporary = path.with_name(f".{path.name}.{os.getpid()}")
        temporary.write_text(f"{self.to_json()}\n")
        temporary.replace(path)


def send(chain: Chain, to: bytes, payload: bytes, *, value: int = 0, gas: int) -> bytes:
    """A transaction of the deployer. Returns its hash. Raises `DevnetError` when it fails in its block."""
    unsigned = Transaction.create_unsigned_transaction(
        nonce=chain.next_nonce(DEPLOYER),
        gas_price=chain.settings.gas_price,
        gas=gas,
        to=RawAddress(to),
        value=value,
        data=payload,
    )
    signed = unsigned.as_signed_transaction(DEPLOYER_KEY, chain_id=chain.settings.chain_id)
    found = chain.mined(chain.submit(signed.encode()))
    if found is not None and not found.success:
        raise DevnetError(f"the devnet's own transaction 0x{signed.hash.hex()} failed")
    return bytes(signed.hash)


def deploy(chain: Chain, periods: Periods, url: str) -> Deployment:
    """Put the contracts on the chain, or find them there. A start that was killed half way is taken up again.

    `periods` are for new contracts; those that are there keep their own. Raises `DevnetError` where something else than
    today's contracts stands at their addresses.
    """
    token, vault, wbtt, market, registry = (bytes(generate_contract_address(DEPLOYER, nonce)) for nonce in range(5))
    notice = _kept(chain, vault, "noticePeriod()", periods.notice)
    answer = _kept(chain, market, "answerPeriod()", periods.answer)
    storage = ["address", "uint256", "uint256"]
    constructors = (
        (token, "TestBTT", encode(["string", "string"], ["BitTorrent (devnet)", "BTT"])),
        (vault, "ChequeVault", encode(["address", "uint256"], [token, notice])),
        (wbtt, "TestWBTT", b""),
        (market, "StorageMarket", encode(storage, [token, CHALLENGE_BOND, answer])),
        (registry, "HostRegistry", encode(storage, [token, MIN_STAKE, notice])),
    )
    for nonce, (address, name, arguments) in enumerate(constructors):
        creation = load(name).bytecode + arguments
        if not chain.code(address):
            if chain.next_nonce(DEPLOYER) != nonce:  # the address can have no contract any more
                raise DevnetError(f"this folder's chain is older than {name}: use another --data-dir")
            send(chain, b"", creation, gas=DEPLOY_GAS)
        if chain.code(address) != chain.call(Call(sender=DEPLOYER, data=creation)):
            raise DevnetError(f"this folder's chain has another version of {name}: use another --data-dir")
    return Deployment(
        url=url,
        chain=f"eip155:{chain.settings.chain_id}",
        chain_id=chain.settings.chain_id,
        token=Address(token).evm,
        vault=Address(vault).evm,
        deployer=Address(DEPLOYER).evm,
        notice_period=notice,
        storage_market=Address(market).evm,
        host_registry=Address(registry).evm,
        answer_period=answer,
        wbtt=Address(wbtt).evm,
    )


def _kept(chain: Chain, contract: bytes, view: str, default: int) -> int:
    """The constant that a contract was made with, where it is there."""
    if not chain.code(contract):
        return default
    return int.from_bytes(chain.call(Call(to=contract, data=keccak(text=view)[:4])), "big")
