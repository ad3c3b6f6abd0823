"""What stands on a fresh TRON devnet: test BTT and our contracts over it, and a TRC-10 named as BTT once was.

A contract's address follows from its transaction's id, and that from a moment, so no two devnets have the same ones. On
a chain that is opened again they are found by their deployer and name in the first blocks: nobody else writes those.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from eth_abi.abi import encode
from eth_utils.crypto import keccak

from contracts.loader import load
from node.devnet.deployment import CHALLENGE_BOND, DEPLOYER, DEPLOYER_KEY, MIN_STAKE, Deployment, Periods
from node.devnet.errors import DevnetError
from node.devnet.tron.chain import TronChain
from node.devnet.tron.proto import (
    ADDRESS_PREFIX,
    Header,
    decode_transaction,
    encode_raw,
    encode_transaction,
    transaction_id,
)
from node.devnet.tron.protojson import read_message
from node.devnet.tron.records import Asset, CreateContract, Mined, Transaction, TriggerContract
from node.devnet.tron.settings import TRX
from wallet.address import Address
from wallet.digests import mask_chain_id
from wallet.keys import PrivateKey

DEPLOYER_SUN = 10**10 * TRX
"""The faucet lives on it."""
BTTOLD = Asset(
    number=1_002_000,
    owner=DEPLOYER,
    name=b"BitTorrentOld",
    abbreviation=b"BTTOLD",
    supply=10**12 * 10**6,
    decimals=6,
    url=b"https://bt.io",
)
"""As on the main network: its number, its decimals, and 1 of it for 1000 BTT."""
FEE_LIMIT = 15_000 * TRX
DEPLOY_ENERGY = 10_000_000
"""The deployer's own share for its contracts' callers; they pay it all, so it is never used."""
_LIFETIME = 60_000
_FIRST_BLOCKS = 16

_KEY = PrivateKey(DEPLOYER_KEY.to_bytes())


def signed(chain: TronChain, contract: str, fields: Mapping[str, object], fee_limit: int = 0) -> Transaction:
    """The deployer's transaction. `fields` as in java-tron's JSON, with hex addresses."""
    head, now = chain.head, chain.now()
    header = Header(
        ref_block_bytes=head.id[6:8],
        ref_block_hash=head.id[8:16],
        expiration=now + _LIFETIME,
        timestamp=now,
        fee_limit=fee_limit,
    )
    message = read_message(contract, {"owner_address": hex_address(DEPLOYER), **fields}, visible=False)
    raw = encode_raw(contract, message, header)
    return decode_transaction(encode_transaction(raw, [_KEY.sign_digest(transaction_id(raw))]))


def send(chain: TronChain, contract: str, fields: Mapping[str, object], fee_limit: int = 0) -> Mined:
    """`signed`, and in a block, whoever mines. Raises `DevnetError` when it is refused or fails."""
    transaction = signed(chain, contract, fields, fee_limit)
    chain.submit(transaction)
    if not chain.automine:
        chain.mine()
    mined = chain.mined(transaction.id)
    if mined is None or not mined.receipt.outcome.ok:
        why = "is not in a block" if mined is None else f"failed: {mined.receipt.outcome.message}"
        raise DevnetError(f"the devnet's own transaction {transaction.id.hex()} {why}")
    return mined


def hex_address(address: bytes) -> str:
    return (ADDRESS_PREFIX + address).hex()


def deploy(chain: TronChain, periods: Periods, url: str) -> Deployment:
    """Put the contracts on the chain, or find them there. A start that was killed half way is taken up again.

    `periods` are for new contracts; those that are there keep their own. Raises `DevnetError` where another version of
    a contract was deployed.
    """
    present = _deployed(chain)
    storage = ["address", "uint256", "uint256"]

    def found(name: str, types: Sequence[str], *values: object) -> bytes:
        address = present.get(name) or _create(chain, name, encode(types, values))
        contract = chain.contract(address)
        if contract is None or not contract.bytecode.startswith(load(name).bytecode):
            raise DevnetError(f"this folder's chain has another version of {name}: use another --data-dir")
        return address

    token = found("TestBTT", ["string", "string"], "BitTorrent (devnet)", "BTT")
    vault = found("ChequeVault", ["address", "uint256"], token, periods.notice)
    notice = _constant(chain, vault, "noticePeriod()")
    market = found("StorageMarket", storage, token, CHALLENGE_BOND, periods.answer)
    registry = found("HostRegistry", storage, token, MIN_STAKE, notice)
    chain_id = mask_chain_id(chain.settings.chain_id)
    return Deployment(
        url=url,
        chain=f"tron:0x{chain_id:08x}",
        chain_id=chain_id,
        token=Address(token).tron,
        vault=Address(vault).tron,
        deployer=Address(DEPLOYER).tron,
        notice_period=notice,
        storage_market=Address(market).tron,
        host_registry=Address(registry).tron,
        answer_period=_constant(chain, market, "answerPeriod()"),
    )


def _constant(chain: TronChain, contract: bytes, view: str) -> int:
    asked = chain.constant(TriggerContract(owner=DEPLOYER, contract=contract, data=keccak(text=view)[:4]))
    return int.from_bytes(asked.output, "big")


def _create(chain: TronChain, name: str, arguments: bytes) -> bytes:
    if chain.head.number >= _FIRST_BLOCKS:  # it would not be found again
        raise DevnetError(f"this folder's chain is older than {name}: use another --data-dir")
    artifact = load(name)
    contract = {
        "origin_address": hex_address(DEPLOYER),
        "abi": {"entrys": artifact.abi},
        "bytecode": (artifact.bytecode + arguments).hex(),
        "consume_user_resource_percent": 100,
        "origin_energy_limit": DEPLOY_ENERGY,
        "name": name,
    }
    mined = send(chain, "CreateSmartContract", {"new_contract": contract}, FEE_LIMIT)
    if mined.receipt.contract is None:
        raise DevnetError(f"{name} has no address")
    return mined.receipt.contract


def _deployed(chain: TronChain) -> dict[str, bytes]:
    """The deployer's contracts by name."""
    numbers = range(1, min(chain.head.number, _FIRST_BLOCKS) + 1)
    found: dict[str, bytes] = {}
    for block in map(chain.block, numbers):
        for mined in () if block is None else chain.mined_in(block):
            operation, receipt = mined.transaction.operation, mined.receipt
            if isinstance(operation, CreateContract) and operation.owner == DEPLOYER and receipt.outcome.ok:
                found[operation.name] = receipt.contract or b""
    return found
