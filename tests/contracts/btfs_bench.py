"""BTFS's vaults and factory (our doubles of them) on an in-memory chain, read through the wallet's own code."""

from __future__ import annotations

from itertools import count

from node.devnet.chain import Chain, ChainSettings
from node.devnet.errors import CallFailedError
from node.devnet.records import Call as Message
from tests.contracts.bench import START, Contract, Receipt, create, key
from tests.contracts.bench import RevertedError as RawRevert
from wallet.address import Address
from wallet.btfs.chain import BtfsVaults, cash
from wallet.btfs.receiver import Terms
from wallet.btfs.wire import SignedBtfsCheque
from wallet.chains.abi import call_data, revert_reason
from wallet.chains.base import Block, RevertedError
from wallet.cheque import BtfsCheque
from wallet.keys import PrivateKey

CURRENT, FIRST = "BtfsTokenVaultDouble", "BtfsVaultDouble"
"""Generations of vaults."""


class DevnetReader:
    """A `wallet.btfs.chain.Reader`. `asked`: who was asked, in order."""

    def __init__(self, chain: Chain) -> None:
        self._chain = chain
        self.asked: list[Address] = []

    async def head(self) -> Block:
        head = self._chain.head
        return Block(head.number, head.hash, START)

    async def call(self, to: Address, request: bytes, block: int, /) -> bytes:
        self.asked.append(to)
        try:
            return self._chain.call(Message(to=to.raw, data=request), self._chain.block(block))
        except CallFailedError as error:
            raise RevertedError(revert_reason(error.output)) from None


class BtfsBench:
    """A chain with WBTT, another token, the factory and both generations of vaults. Gas is free."""

    def __init__(self, chain_id: int = 199) -> None:
        self.chain_id = chain_id
        self.chain = Chain(ChainSettings(chain_id=chain_id, gas_price=0), clock=lambda: START)
        self.wbtt, self.usdd = (
            create(self.chain, "TestBTT", ["string", "string"], [name, name]) for name in ("WBTT", "USDD")
        )
        self.factory = create(self.chain, "BtfsFactoryDouble", ["address"], [self.wbtt.address])
        self.logic = {name: create(self.chain, name, [], []).address for name in (CURRENT, FIRST)}
        self.reader = DevnetReader(self.chain)
        self.vaults = BtfsVaults(self.reader, self.factory.address, self.wbtt.address)
        self._salts = count()

    def terms(self, beneficiary: PrivateKey) -> Terms:
        return Terms(self.chain_id, beneficiary.address, self.wbtt.address, frozenset({self.usdd.address}))

    def deploy(self, issuer: PrivateKey, generation: str = CURRENT, *, wbtt: Address | None = None) -> Contract:
        """A vault, as a BTFS node makes its own."""
        init = call_data("init(address,address)", issuer.address, wbtt or self.wbtt.address)
        return Contract(generation, self.chain, self.deploy_any(issuer, self.logic[generation], init))

    def deploy_any(self, issuer: PrivateKey, logic: Address, init: bytes) -> Address:
        """What the factory makes of any code."""
        number = next(self._salts)
        made = self.factory.send(
            issuer, "deployVault", issuer.address, logic, number.to_bytes(32, "big"), f"peer {number}", init
        )
        [(name, (_, vault, _))] = made.events
        assert name == "VaultDeployed"
        assert isinstance(vault, Address)
        return vault

    def fund(self, vault: Contract, amount: int, token: Contract | None = None) -> None:
        (token or self.wbtt).send(key(0), "mint", vault.address, amount)

    def cheque(
        self,
        vault: Contract,
        signer: PrivateKey,
        beneficiary: PrivateKey,
        cumulative: int,
        token: Contract | None = None,
    ) -> SignedBtfsCheque:
        plain = BtfsCheque(vault.address, beneficiary.address, cumulative, None if token is None else token.address)
        return SignedBtfsCheque(plain, plain.sign(self.chain_id, signer))

    def cash(self, sender: PrivateKey, vault: Contract, signed: SignedBtfsCheque, recipient: Address) -> Receipt:
        """Send the wallet's call. Raises the wallet's `RevertedError` with the vault's words."""
        cheque = signed.cheque
        method, arguments = "cashChequeBeneficiary", [recipient, cheque.cumulative, signed.signature]
        if cheque.token is not None:
            method, arguments = "multiTokenCashChequeBeneficiary", [cheque.token, *arguments]
        call = cash(signed, recipient)
        assert (call.to, call.value, call.data) == (vault.address, 0, vault.call_data(method, *arguments))
        try:
            return vault.send(sender, method, *arguments)
        except RawRevert as error:
            raise RevertedError(revert_reason(bytes.fromhex(error.name))) from None

    def wallet(self, owner: PrivateKey, token: Contract | None = None) -> int:
        return int((token or self.wbtt).read("balanceOf", owner.address))
