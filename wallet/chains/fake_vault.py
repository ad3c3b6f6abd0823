"""The vault and its token in memory: what `ChequeVault` does, rule by rule, without a virtual machine.

`World` is all that a block changes. A conformance suite holds it to the real contract.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TypeVar

from eth_abi.abi import decode

from wallet.address import Address
from wallet.chains import abi
from wallet.chains.base import (
    Authorised,
    BouncedCheque,
    CashedCheque,
    Deposited,
    Locked,
    NoticeCancelled,
    NoticeGiven,
    RejectedCheque,
    Rejection,
    Revoked,
    Unlocked,
    UnlockRequested,
    VaultEvent,
    Withdrawn,
)
from wallet.chains.reading import Log
from wallet.cheque import Cheque, Rail, cheque_digest
from wallet.digests import word
from wallet.errors import BadSignatureError
from wallet.keys import expand_signature, recover

FOREVER = 2**32 - 1
NO_CAP = 2**112 - 1
ENDLESS = 2**256 - 1
MAX_PAID_OUT = 2**128 - 1

TOKEN_ADDRESS = Address(b"\x22" * 20)

Pair = tuple[Address, Address]
K = TypeVar("K")


class RefusedError(Exception):
    """A contract refuses; `data` is what it gives back."""

    def __init__(self, name: str, *values: int | Address) -> None:
        super().__init__(name)
        error = next(error for error in abi.errors().values() if error.name == name)
        self.data = error.selector + b"".join(word(value) for value in values)


@dataclass(frozen=True, slots=True)
class Account:
    balance: int = 0
    locked: int = 0


@dataclass(frozen=True, slots=True)
class Tab:
    paid_out: int = 0
    locked: int = 0


@dataclass(frozen=True, slots=True)
class Notice:
    amount: int = 0
    ready_at: int = 0


@dataclass(frozen=True, slots=True)
class HotKey:
    cap: int = 0
    moved: int = 0
    valid_until: int = 0


def _counter() -> defaultdict[Address, int]:
    return defaultdict(int)


@dataclass(slots=True)
class World:
    """Native coins, the token and the vault after a block."""

    rail: Rail
    notice_period: int
    native: dict[Address, int] = field(default_factory=_counter)
    nonces: dict[Address, int] = field(default_factory=_counter)
    tokens: dict[Address, int] = field(default_factory=_counter)
    allowances: dict[Address, int] = field(default_factory=_counter)
    """What the vault may take; other spenders do not matter here."""
    accounts: dict[Address, Account] = field(default_factory=lambda: defaultdict(Account))
    tabs: dict[Pair, Tab] = field(default_factory=lambda: defaultdict(Tab))
    notices: dict[Address, Notice] = field(default_factory=lambda: defaultdict(Notice))
    unlocks: dict[Pair, int] = field(default_factory=dict)
    hot_keys: dict[Pair, HotKey] = field(default_factory=lambda: defaultdict(HotKey))

    def copy(self) -> World:
        """An independent world; all values are immutable."""
        return replace(
            self,
            native=self.native.copy(),
            nonces=self.nonces.copy(),
            tokens=self.tokens.copy(),
            allowances=self.allowances.copy(),
            accounts=self.accounts.copy(),
            tabs=self.tabs.copy(),
            notices=self.notices.copy(),
            unlocks=self.unlocks.copy(),
            hot_keys=self.hot_keys.copy(),
        )


@dataclass(slots=True)
class Machine:
    """Carries one transaction out on a world. Raises `RefusedError`; the world is then to be thrown away."""

    world: World
    sender: Address
    now: int
    events: list[VaultEvent] = field(default_factory=list)
    moves: list[tuple[Address, Address, int]] = field(default_factory=list)
    """The token's transfers: source, receiver, amount."""
    logs: list[Log] = field(default_factory=list)
    """Events and transfers in their order, as a chain keeps them."""

    def token(self, data: bytes) -> None:
        name, arguments = _read(abi.TOKEN, data)
        _TOKEN[name](self, *arguments)

    def vault(self, data: bytes) -> None:
        name, arguments = _read(abi.VAULT, data)
        _VAULT[name](self, *arguments)

    def _emit(self, event: VaultEvent) -> None:
        self.events.append(event)
        self.logs.append(Log(self.world.rail.vault, *abi.encode_event(event)))

    # --- token ---

    def _transfer(self, to: Address, amount: int) -> None:
        self._move(self.sender, to, amount)

    def _approve(self, spender: Address, amount: int) -> None:
        if spender == self.world.rail.vault:
            self.world.allowances[self.sender] = amount

    def _move(self, source: Address, to: Address, amount: int) -> None:
        held = self.world.tokens[source]
        if held < amount:
            raise RefusedError("ERC20InsufficientBalance", source, held, amount)
        self.world.tokens[source] -= amount
        self.world.tokens[to] += amount
        self.moves.append((source, to, amount))
        self.logs.append(Log(TOKEN_ADDRESS, (abi.TRANSFER, word(source), word(to)), word(amount)))

    # --- money in and out ---

    def _deposit(self, amount: int) -> None:
        self._deposit_for(self.sender, amount)

    def _deposit_for(self, payer: Address, amount: int) -> None:
        if payer in (abi.NOBODY, self.world.rail.vault):
            raise RefusedError("BadAddress", payer)
        vault, allowed = self.world.rail.vault, self.world.allowances[self.sender]
        if allowed < amount:
            raise RefusedError("ERC20InsufficientAllowance", vault, allowed, amount)
        if allowed != ENDLESS:
            self.world.allowances[self.sender] -= amount
        self._move(self.sender, vault, amount)
        if amount == 0:
            raise RefusedError("NothingThere")
        self._credit(payer, amount)
        self._emit(Deposited(payer, self.sender, amount))

    def _credit(self, payer: Address, amount: int) -> None:
        account = self.world.accounts[payer]
        self.world.accounts[payer] = replace(account, balance=account.balance + amount)

    def _give_notice(self, amount: int) -> None:
        amount = min(amount, self.world.accounts[self.sender].balance)
        if amount == 0:
            raise RefusedError("NothingThere")
        ready_at = self.now + self.world.notice_period
        self.world.notices[self.sender] = Notice(amount, ready_at)
        self._emit(NoticeGiven(self.sender, amount, ready_at))

    def _cancel_notice(self) -> None:
        if self.world.notices[self.sender].amount == 0:
            raise RefusedError("NothingThere")
        del self.world.notices[self.sender]
        self._emit(NoticeCancelled(self.sender))

    def _withdraw(self, to: Address) -> None:
        if to in (abi.NOBODY, self.world.rail.vault):
            raise RefusedError("BadAddress", to)
        notice, account = self.world.notices[self.sender], self.world.accounts[self.sender]
        if notice.amount == 0:
            raise RefusedError("NothingThere")
        if self.now < notice.ready_at:
            raise RefusedError("NotYet", notice.ready_at)
        amount = min(notice.amount, account.balance - account.locked)
        if amount == 0:
            raise RefusedError("NothingThere")
        del self.world.notices[self.sender]
        self.world.accounts[self.sender] = replace(account, balance=account.balance - amount)
        self._emit(Withdrawn(self.sender, to, amount))
        self._move(self.world.rail.vault, to, amount)

    # --- locks ---

    def _lock(self, payee: Address, amount: int) -> None:
        if payee in (abi.NOBODY, self.sender):
            raise RefusedError("BadAddress", payee)
        if amount == 0:
            raise RefusedError("NothingThere")
        account, tab = self.world.accounts[self.sender], self.world.tabs[self.sender, payee]
        if amount > account.balance - account.locked:
            raise RefusedError("NotCovered", account.balance - account.locked, amount)
        self.world.accounts[self.sender] = replace(account, locked=account.locked + amount)
        self.world.tabs[self.sender, payee] = tab = replace(tab, locked=tab.locked + amount)
        self.world.unlocks.pop((self.sender, payee), None)
        self._emit(Locked(self.sender, payee, amount, tab.locked))

    def _request_unlock(self, payee: Address) -> None:
        if self.world.tabs[self.sender, payee].locked == 0:
            raise RefusedError("NothingThere")
        ready_at = self.now + self.world.notice_period
        self.world.unlocks[self.sender, payee] = ready_at
        self._emit(UnlockRequested(self.sender, payee, ready_at))

    def _unlock(self, payee: Address) -> None:
        tab, ready_at = self.world.tabs[self.sender, payee], self.world.unlocks.get((self.sender, payee), 0)
        if ready_at == 0 or tab.locked == 0:
            raise RefusedError("NothingThere")
        if self.now < ready_at:
            raise RefusedError("NotYet", ready_at)
        del self.world.unlocks[self.sender, payee]
        account = self.world.accounts[self.sender]
        self.world.tabs[self.sender, payee] = replace(tab, locked=0)
        self.world.accounts[self.sender] = replace(account, locked=account.locked - tab.locked)
        self._emit(Unlocked(self.sender, payee, tab.locked))

    # --- hot keys ---

    def _authorise(self, hot_key: Address, cap: int) -> None:
        if hot_key in (abi.NOBODY, self.sender):
            raise RefusedError("BadAddress", hot_key)
        key = self.world.hot_keys[self.sender, hot_key]
        cap = min(cap, NO_CAP)
        self.world.hot_keys[self.sender, hot_key] = replace(key, cap=cap, valid_until=FOREVER)
        self._emit(Authorised(self.sender, hot_key, cap))

    def _revoke(self, hot_key: Address) -> None:
        key = self.world.hot_keys[self.sender, hot_key]
        if key.valid_until != FOREVER:
            raise RefusedError("NothingThere")
        until = self.now + self.world.notice_period
        self.world.hot_keys[self.sender, hot_key] = replace(key, cap=0, valid_until=until)
        self._emit(Revoked(self.sender, hot_key))

    # --- cheques ---

    def _cash_many(self, rows: tuple[tuple[tuple[str, str, int], bytes, bytes], ...], to: str) -> None:
        recipient = Address.parse(to)
        total = 0
        for (payer, payee, cumulative), r, vs in rows:
            cheque = Cheque(Address.parse(payer), Address.parse(payee), cumulative)
            reason, paid = self._draw(cheque, expand_signature(r, vs), recipient)
            if reason is not None:
                self._emit(RejectedCheque(cheque.payer, cheque.payee, reason))
            elif recipient == abi.NOBODY:
                self._credit(cheque.payee, paid)
            total += paid
        if recipient != abi.NOBODY:
            self._move(self.world.rail.vault, recipient, total)

    def _draw(self, cheque: Cheque, signature: bytes, recipient: Address) -> tuple[Rejection | None, int]:
        payer, payee = cheque.payer, cheque.payee
        vault = self.world.rail.vault
        if payee in (abi.NOBODY, payer, vault):
            return Rejection.BAD_PAYEE, 0
        if recipient not in (abi.NOBODY, payee) and (self.sender != payee or recipient == vault):
            return Rejection.BAD_RECIPIENT, 0
        tab, account = self.world.tabs[payer, payee], self.world.accounts[payer]
        due = cheque.cumulative - tab.paid_out
        if due <= 0:
            return Rejection.NOTHING_NEW, 0
        try:
            signer = recover(cheque_digest(self.world.rail, cheque), signature)
        except BadSignatureError:
            return Rejection.BAD_SIGNATURE, 0
        key = self.world.hot_keys[payer, signer]
        if signer != payer and key.valid_until < self.now:
            return Rejection.BAD_SIGNATURE, 0
        most = min(cheque.cumulative, MAX_PAID_OUT) - tab.paid_out
        from_locked = min(most, tab.locked)
        from_free = min(most - from_locked, account.balance - account.locked)
        if signer != payer:
            from_free = min(from_free, max(0, key.cap - key.moved))
            self.world.hot_keys[payer, signer] = replace(key, moved=key.moved + from_free)
        paid = from_locked + from_free
        if paid:
            self.world.tabs[payer, payee] = Tab(tab.paid_out + paid, tab.locked - from_locked)
            self.world.accounts[payer] = Account(account.balance - paid, account.locked - from_locked)
            self._emit(CashedCheque(payer, payee, recipient, cheque.cumulative, paid))
        if paid != due:
            self._emit(BouncedCheque(payer, payee, cheque.cumulative, paid, due - paid))
        return None, paid


_TOKEN: Mapping[str, Callable[..., None]] = {"transfer": Machine._transfer, "approve": Machine._approve}
_VAULT: Mapping[str, Callable[..., None]] = {
    "deposit": Machine._deposit,
    "depositFor": Machine._deposit_for,
    "giveNotice": Machine._give_notice,
    "cancelNotice": Machine._cancel_notice,
    "withdraw": Machine._withdraw,
    "lock": Machine._lock,
    "requestUnlock": Machine._request_unlock,
    "unlock": Machine._unlock,
    "authorise": Machine._authorise,
    "revoke": Machine._revoke,
    "cashMany": Machine._cash_many,
}


def view(world: World, contract: str, data: bytes) -> bytes:
    """What a view function of the token or the vault answers. Raises `RefusedError` for one it does not have."""
    name, arguments = _read(contract, data)
    if name not in _VIEWS:
        raise RefusedError("Panic", 0)
    return b"".join(map(word, _VIEWS[name](world, *arguments)))


_VIEWS: Mapping[str, Callable[..., tuple[int, ...]]] = {
    "balanceOf": lambda world, owner: (world.tokens[owner],),
    "allowance": lambda world, owner, spender: (world.allowances[owner] if spender == world.rail.vault else 0,),
    "balance": lambda world, payer: (world.accounts[payer].balance,),
    "lockedTotal": lambda world, payer: (world.accounts[payer].locked,),
    "paidOut": lambda world, payer, payee: (world.tabs[payer, payee].paid_out,),
}


def _read(contract: str, data: bytes) -> tuple[str, tuple[object, ...]]:
    """The function that is called, and its arguments: addresses as `Address` where they are not part of a tuple."""
    function = next(f for f in abi.functions(contract).values() if f.selector == data[:4])
    if function.name == "cashMany":
        return function.name, decode(function.types, data[4:])
    words = abi.split_words(data[4:], len(function.types))
    arguments = (
        Address(number.to_bytes(20, "big")) if kind == "address" else number
        for kind, number in zip(function.types, words, strict=True)
    )
    return function.name, tuple(arguments)
