"""What is to be done about a contract and an object now: pure, from their records, the time and the policy.

Theory. An object is kept by its *covered* shards: those with a contract that runs, or will, and is not given up. A
contract that does not exist yet moves on by `todo`, a table over its state; each step leads to a record that has
another one. What is not covered, and lies in the staging folder, is placed; what is not covered and does not lie there
is for `node.storage.repair` to judge.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum

from node.ports.renting import Rental
from node.services.renter.policy import Policy
from node.storage.lifecycle import ENDS, State, renewal_due
from node.storage.repair import Health, ShardState


class Todo(StrEnum):
    """The next step of a contract."""

    PROPOSE = "propose"
    OPEN = "open"
    LOOK = "look"
    """Ask the market what it says: it can be opened no more, but may have been."""
    DELIVER = "deliver"
    CALL_OFF = "call off"
    CANCEL = "cancel"
    """Ask the host to end it now."""
    RECALL = "recall"
    """Its record was lost with a machine, and its host has not told yet what it knows."""
    WATCH = "watch"
    CLOSE = "close"
    """Its time is over, whatever the host did."""
    NOTHING = "nothing"


def todo(rental: Rental, now: int, policy: Policy) -> Todo:
    """The step that `rental` needs at Unix second `now`."""
    terms, state = rental.terms, rental.state
    late = now >= terms.start - policy.margin
    if state in ENDS:
        return Todo.NOTHING
    if state in (State.OFFERED, State.SIGNED):
        if late:
            return Todo.LOOK
        if rental.dropped:
            return Todo.NOTHING
        return Todo.PROPOSE if state is State.OFFERED else Todo.OPEN
    if now >= (rental.leaves or terms.end):
        return Todo.CLOSE
    if rental.dropped:
        return Todo.CALL_OFF if now < terms.start else Todo.CANCEL
    if state is State.UPLOADING:
        # A renewal's host has the shard; before its start the contract it follows is still running.
        called_off = late and now < terms.start and not rental.renews
        return Todo.CALL_OFF if called_off else Todo.DELIVER
    return Todo.WATCH if rental.host_signature else Todo.RECALL


def given_up(rental: Rental, policy: Policy) -> bool:
    """Whether this contract keeps its shard no more, as far as we can know."""
    return rental.state in ENDS or rental.dropped or failed(rental, policy)


def failed(rental: Rental, policy: Policy) -> bool:
    """Whether its host did not keep the contract, or has long not shown that it does."""
    return rental.state is State.FAILED or rental.convicted or rental.missed >= policy.patience


def latest(rentals: Iterable[Rental], policy: Policy) -> dict[int, Rental]:
    """Of each shard, the contract that covers it longest; shards without one are left out."""
    covering: dict[int, Rental] = {}
    for rental in rentals:
        if given_up(rental, policy):
            continue
        other = covering.get(rental.shard)
        if other is None or (rental.state is not State.OFFERED, rental.terms.end) > (
            other.state is not State.OFFERED,
            other.terms.end,
        ):
            covering[rental.shard] = rental
    return covering


def delivered(rental: Rental) -> bool:
    """Whether its host has shown the shard."""
    return rental.state in (State.ACTIVE, State.CHALLENGED, State.EXITING, State.EXITING_CHALLENGED)


def sound(rental: Rental, policy: Policy) -> bool:
    """Whether nothing speaks against this contract: not given up, its host neither silent nor about to leave."""
    return not given_up(rental, policy) and not rental.missed and not rental.leaves and not rental.relieve


def to_place(rentals: Iterable[Rental], staged: Iterable[int], policy: Policy) -> set[int]:
    """Staged shards that no sound contract is, or will be, about."""
    return set(staged) - {rental.shard for rental in rentals if sound(rental, policy)}


def to_relieve(rentals: Sequence[Rental], now: int, policy: Policy) -> list[Rental]:
    """Contracts whose hosts asked for it and may go: another host has shown the shard, and is bound to keep it."""
    kept = {
        rental.shard for rental in rentals if sound(rental, policy) and delivered(rental) and rental.terms.start <= now
    }
    return [
        rental
        for rental in rentals
        if rental.relieve and not given_up(rental, policy) and not rental.leaves and rental.shard in kept
    ]


def to_free(rentals: Iterable[Rental], staged: Iterable[int], policy: Policy) -> set[int]:
    """Staged shards that a host in good standing has shown."""
    return set(staged) & {rental.shard for rental in rentals if sound(rental, policy) and delivered(rental)}


def health(rentals: Sequence[Rental], shard: int, policy: Policy, *, staged: bool) -> ShardState:
    """What the repair core should know of a shard: the best of what its contracts say; one that is here is good."""
    if staged:
        return ShardState(Health.GOOD)
    states = [_state(rental) for rental in rentals if rental.shard == shard and not given_up(rental, policy)]
    order = (Health.GOOD, Health.LEAVING, Health.SUSPECT)
    return min(states, key=lambda state: (order.index(state.health), -state.leaves), default=ShardState(Health.LOST))


def _state(rental: Rental) -> ShardState:
    if rental.missed or not delivered(rental):
        return ShardState(Health.SUSPECT, price=rental.download_price)
    if rental.leaves:
        return ShardState(Health.LEAVING, rental.leaves, rental.download_price)
    if rental.relieve:
        return ShardState(Health.LEAVING, rental.terms.end, rental.download_price, asked=True)
    return ShardState(Health.GOOD, price=rental.download_price)


def to_renew(rentals: Sequence[Rental], now: int, policy: Policy) -> list[Rental]:
    """The contracts whose end is near and that no other follows."""
    followed = {rental.renews for rental in rentals if not given_up(rental, policy)}
    return [
        rental
        for rental in latest(rentals, policy).values()
        if rental.state is State.ACTIVE
        and not rental.missed
        and not rental.leaves
        and not rental.relieve
        and rental.id not in followed
        and renewal_due(rental.terms) <= now < rental.terms.end - policy.start_after(0)
    ]


def read_order(rentals: Iterable[Rental], policy: Policy) -> Mapping[int, list[Rental]]:
    """Shard → the hosts that may still have it: those in good standing first, then the cheaper."""
    found: dict[int, list[Rental]] = {}
    for rental in rentals:
        if rental.state is not State.OFFERED and not rental.convicted:
            found.setdefault(rental.shard, []).append(rental)
    for hosts in found.values():
        hosts.sort(key=lambda rental: (given_up(rental, policy), rental.missed, rental.download_price))
    return found
