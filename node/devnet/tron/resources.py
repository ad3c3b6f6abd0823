"""Bandwidth and energy: what stakes give, how use recovers, and who pays when they do not suffice.

Theory
------
Use is a sliding window. What was used counts in full at first and fades linearly to nothing over a day; new use is
added to what has not faded yet. java-tron keeps averages in millionths per slot of three seconds, with rounding this
module repeats (`ResourceProcessor.increase`), so that limits are met at the same moment. It differs in one thing:
Stake 2.0 weighs a window of its own per account, which fades the same amount over the same day along another line.

A stake's share is its part of everybody's stakes times the network's daily total. Bandwidth is taken from the stake,
else from the daily free allowance, else bought by burning TRX, always as a whole. Energy is taken from the stake as
far as it goes; only the rest is bought.
"""

from __future__ import annotations

from typing import NamedTuple

from node.devnet.tron.records import Code, RejectedError, Resource, Resources
from node.devnet.tron.settings import TRX, TronSettings
from node.devnet.tron.state import Slot, TronState, Unstaking

SLOT_MS = 3_000
WINDOW = 24 * 3600 * 1000 // SLOT_MS
"""Slots after which use has faded away."""
MAX_UNSTAKING = 32
_PRECISION = 10**6
_DAY_MS = 24 * 3600 * 1000
_FIELD_BITS = 42
_STAKED = {Resource.BANDWIDTH: Slot.STAKED_BANDWIDTH, Resource.ENERGY: Slot.STAKED_ENERGY}
_TOTAL_STAKED = {Resource.BANDWIDTH: Slot.TOTAL_STAKED_BANDWIDTH, Resource.ENERGY: Slot.TOTAL_STAKED_ENERGY}


class Usage(NamedTuple):
    """What an account has used and at which slot that was counted. Packed into one ledger word, 42 bits each."""

    free: int = 0
    free_at: int = 0
    bandwidth: int = 0
    bandwidth_at: int = 0
    energy: int = 0
    energy_at: int = 0

    @classmethod
    def unpack(cls, word: int) -> Usage:
        mask = (1 << _FIELD_BITS) - 1
        return cls(*(word >> place * _FIELD_BITS & mask for place in range(len(cls._fields))))

    def pack(self) -> int:
        return sum(value << place * _FIELD_BITS for place, value in enumerate(self))


def faded(used: int, at: int, now: int, more: int = 0) -> int:
    """What is left at slot `now` of what was `used` at slot `at`, plus `more` used now."""
    average = -(-used * _PRECISION // WINDOW)
    if now > at:
        left = max(0, WINDOW - (now - at))
        average = (2 * average * left + WINDOW) // (2 * WINDOW)  # rounded half up
    return (average + -(-more * _PRECISION // WINDOW)) * WINDOW // _PRECISION


class ResourceBook:
    """Reads and changes one state's resources."""

    def __init__(self, state: TronState, settings: TronSettings) -> None:
        self._state = state
        self._settings = settings
        self._slot = state.now // SLOT_MS

    # --- energy ------------------------------------------------------------------------------------------------------

    def energy_left(self, address: bytes) -> int:
        """What the account's stake still gives now."""
        limit = self._limit(address, Resource.ENERGY)
        usage = self._usage(address)
        return max(0, limit - faded(usage.energy, usage.energy_at, self._slot)) if limit else 0

    def use_energy(self, address: bytes, amount: int) -> None:
        """Of the stake; at most `energy_left`."""
        if amount:
            usage = self._usage(address)
            used = faded(usage.energy, usage.energy_at, self._slot, amount)
            self._set_usage(address, usage._replace(energy=used, energy_at=self._slot))

    # --- bandwidth ---------------------------------------------------------------------------------------------------

    def charge_bandwidth(self, address: bytes, size: int, *, opens_account: bool) -> tuple[int, int]:
        """Charge `size` bytes: (bandwidth used, sun burnt), one of which is 0.

        A transfer that opens an account takes staked bandwidth or a fixed fee. Raises `RejectedError`.
        """
        usage = self._usage(address)
        limit = self._limit(address, Resource.BANDWIDTH)
        if limit and size <= limit - faded(usage.bandwidth, usage.bandwidth_at, self._slot):
            used = faded(usage.bandwidth, usage.bandwidth_at, self._slot, size)
            self._set_usage(address, usage._replace(bandwidth=used, bandwidth_at=self._slot))
            return size, 0
        if opens_account:
            return 0, self.burn(address, self._settings.create_account_bandwidth_fee)
        if size <= self._settings.free_bandwidth - faded(usage.free, usage.free_at, self._slot):
            used = faded(usage.free, usage.free_at, self._slot, size)
            self._set_usage(address, usage._replace(free=used, free_at=self._slot))
            return size, 0
        return 0, self.burn(address, size * self._settings.bandwidth_price)

    def burn(self, address: bytes, fee: int) -> int:
        """Returns `fee`. Raises `RejectedError` if the balance does not cover it."""
        if self._state.balance(address) < fee:
            raise RejectedError(Code.BANDWITH_ERROR, "Account resource insufficient error.")
        self._state.pay(address, fee)
        return fee

    # --- stakes ------------------------------------------------------------------------------------------------------

    def staked(self, address: bytes, resource: Resource) -> int:
        """Sun."""
        return self._state.slot(_STAKED[resource], address)

    def stake(self, address: bytes, resource: Resource, amount: int) -> None:
        """Sun the account is known to have."""
        self._state.pay(address, amount)
        self._add_stake(address, resource, amount)

    def unstake(self, address: bytes, resource: Resource, amount: int) -> None:
        """Sun it is known to have staked: back in the balance after `unstake_days`, with the next unstaking."""
        now, due, pending = self._state.now, 0, []
        for one in self._state.unstaking(address):
            if one.expires <= now:
                due += one.amount
            else:
                pending.append(one)
        pending.append(Unstaking(amount, now + self._settings.unstake_days * _DAY_MS))
        self._add_stake(address, resource, -amount)
        self._state.pay(address, -due)
        self._state.set_unstaking(address, pending)

    def unstaking_count(self, address: bytes) -> int:
        return sum(one.expires > self._state.now for one in self._state.unstaking(address))

    # --- all at once -------------------------------------------------------------------------------------------------

    def overview(self, address: bytes) -> Resources:
        usage, settings = self._usage(address), self._settings
        return Resources(
            free_net_used=faded(usage.free, usage.free_at, self._slot),
            free_net_limit=settings.free_bandwidth,
            net_used=faded(usage.bandwidth, usage.bandwidth_at, self._slot),
            net_limit=self._limit(address, Resource.BANDWIDTH),
            energy_used=faded(usage.energy, usage.energy_at, self._slot),
            energy_limit=self._limit(address, Resource.ENERGY),
            total_net_limit=settings.total_bandwidth,
            total_net_weight=self._total(Resource.BANDWIDTH) // TRX,
            total_energy_limit=settings.total_energy,
            total_energy_weight=self._total(Resource.ENERGY) // TRX,
        )

    # --- the parts ---------------------------------------------------------------------------------------------------

    def _limit(self, address: bytes, resource: Resource) -> int:
        """Rounded down."""
        staked = self.staked(address, resource)
        if not staked:
            return 0
        settings = self._settings
        daily = settings.total_bandwidth if resource is Resource.BANDWIDTH else settings.total_energy
        return staked * daily // self._total(resource)

    def _total(self, resource: Resource) -> int:
        """Sun staked by everybody."""
        settings = self._settings
        others = settings.total_bandwidth_weight if resource is Resource.BANDWIDTH else settings.total_energy_weight
        return others * TRX + self._state.slot(_TOTAL_STAKED[resource])

    def _add_stake(self, address: bytes, resource: Resource, amount: int) -> None:
        self._state.set_slot(_STAKED[resource], self.staked(address, resource) + amount, address)
        total = _TOTAL_STAKED[resource]
        self._state.set_slot(total, self._state.slot(total) + amount)

    def _usage(self, address: bytes) -> Usage:
        return Usage.unpack(self._state.slot(Slot.USAGE, address))

    def _set_usage(self, address: bytes, usage: Usage) -> None:
        self._state.set_slot(Slot.USAGE, usage.pack(), address)
