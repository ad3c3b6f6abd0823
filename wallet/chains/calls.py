"""The wallet's calls: what a transaction is to do, and how the user is told. The same on every rail."""

from __future__ import annotations

from collections.abc import Sequence

from wallet.address import Address
from wallet.amount import Token, format_amount
from wallet.chains.abi import NOBODY, call_data, cash_data
from wallet.chains.assets import Asset, AssetKind
from wallet.chains.base import Call
from wallet.cheque import Rail, SignedCheque


class VaultCalls:
    """The pure part of `ChainAdapter`; adapters inherit it."""

    def __init__(self, rail: Rail, native: Token, token: Address) -> None:
        self.rail = rail
        self.native = native
        self.token = token
        self._on_tron = rail.id.startswith("tron:")

    def name(self, address: Address) -> str:
        """The address as people write it on this chain."""
        return address.tron if self._on_tron else address.evm

    def transfer(self, asset: Asset, to: Address, amount: int) -> Call:
        text = f"send {format_amount(amount, asset.token)} to {self.name(to)}"
        if asset.contract is not None:
            return Call(asset.contract, call_data("transfer(address,uint256)", to, amount), 0, "transfer", text)
        if asset.kind is AssetKind.TRC10 and not self._on_tron:
            raise ValueError(f"{self.rail.id} has no TRC-10 tokens")
        return Call(to, b"", amount, "transfer", text, trc10=asset.number)

    def wrap(self, asset: Asset, amount: int) -> Call:
        text = f"wrap {format_amount(amount, self.native)}"
        return Call(_wrapper(asset), call_data("deposit()"), amount, "wrap", text)

    def unwrap(self, asset: Asset, amount: int) -> Call:
        text = f"unwrap {format_amount(amount, asset.token)}"
        return Call(_wrapper(asset), call_data("withdraw(uint256)", amount), 0, "unwrap", text)

    def deploy(self, name: str, creation: bytes) -> Call:
        """A new contract: creation code with its encoded arguments. Its address is in the receipt."""
        return Call(NOBODY, creation, 0, "deploy", f"deploy {name}", creates=name)

    def transfer_native(self, to: Address, amount: int) -> Call:
        return self.transfer(Asset(AssetKind.NATIVE, self.native), to, amount)

    def transfer_token(self, to: Address, amount: int) -> Call:
        return self.transfer(Asset(AssetKind.TOKEN, self.rail.token, self.token), to, amount)

    def approve(self, amount: int) -> Call:
        return self._token(
            "approve(address,uint256)", f"let the vault take {self._amount(amount)}", self.rail.vault, amount
        )

    def deposit(self, amount: int) -> Call:
        return self._vault("deposit(uint256)", f"deposit {self._amount(amount)}", amount)

    def deposit_for(self, payer: Address, amount: int) -> Call:
        return self._vault(
            "depositFor(address,uint256)", f"deposit {self._amount(amount)} for {self.name(payer)}", payer, amount
        )

    def give_notice(self, amount: int) -> Call:
        return self._vault("giveNotice(uint256)", f"give notice of withdrawing {self._amount(amount)}", amount)

    def cancel_notice(self) -> Call:
        return self._vault("cancelNotice()", "cancel the notice of withdrawal")

    def withdraw(self, to: Address) -> Call:
        return self._vault("withdraw(address)", f"withdraw what is under notice to {self.name(to)}", to)

    def lock(self, payee: Address, amount: int) -> Call:
        return self._vault(
            "lock(address,uint256)", f"lock {self._amount(amount)} for {self.name(payee)}", payee, amount
        )

    def request_unlock(self, payee: Address) -> Call:
        return self._vault("requestUnlock(address)", f"announce to unlock what is locked for {self.name(payee)}", payee)

    def unlock(self, payee: Address) -> Call:
        return self._vault("unlock(address)", f"unlock what is locked for {self.name(payee)}", payee)

    def authorise(self, hot_key: Address, cap: int) -> Call:
        return self._vault(
            "authorise(address,uint256)",
            f"let {self.name(hot_key)} sign cheques up to {self._amount(cap)}",
            hot_key,
            cap,
        )

    def revoke(self, hot_key: Address) -> Call:
        return self._vault("revoke(address)", f"let {self.name(hot_key)} sign no more cheques", hot_key)

    def cash(self, cheques: Sequence[SignedCheque], recipient: Address | None) -> Call:
        """One bad cheque does not hold up the others. Without a recipient: to each payee's balance in the vault."""
        what = "1 cheque" if len(cheques) == 1 else f"{len(cheques)} cheques"
        where = "the balance in the vault" if recipient is None else self.name(recipient)
        data = cash_data(cheques, NOBODY if recipient is None else recipient)
        return Call(self.rail.vault, data, 0, "cashMany", f"cash {what} to {where}")

    def _vault(self, signature: str, text: str, *arguments: int | Address) -> Call:
        return Call(self.rail.vault, call_data(signature, *arguments), 0, signature.partition("(")[0], text)

    def _token(self, signature: str, text: str, *arguments: int | Address) -> Call:
        return Call(self.token, call_data(signature, *arguments), 0, signature.partition("(")[0], text)

    def _amount(self, value: int) -> str:
        return format_amount(value, self.rail.token)


def _wrapper(asset: Asset) -> Address:
    if asset.contract is None or not asset.wraps_native:
        raise ValueError(f"{asset.token.symbol} does not wrap native coins")
    return asset.contract
