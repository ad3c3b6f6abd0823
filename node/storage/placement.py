"""Placement: which hosts get the shards, and why the others do not.

Shards of one object must not fail together, so no two go to one owner or one network (a /24 of IPv4, a /48 of IPv6):
what one person, disk or line takes away is one shard. Identities are cheap and networks are not, and with both counted
a host gains nothing by appearing as many.

First, whoever cannot take a shard is refused, with the reason. Among the others, think of each host as an edge between
its owner and its network: a permitted choice is a matching, and the best is the cheapest matching of the size wanted.
It is found exactly, by successive shortest augmenting paths (Edmonds and Karp 1972): choosing greedily could run out
of hosts where a choice exists. A host's cost is its price divided by its score, so one that is known to be half as
good must cost less than half; the price is what the whole term costs, with upload and audits. The same input gives the
same choice; equal costs are ordered by a hash with the object's id, so that they share the load instead of the lowest
address getting it all.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass
from hashlib import sha256
from ipaddress import ip_address

from node.storage.errors import TermsError
from node.storage.terms import PriceTable, daily_rate, epochs_for, price_per_epoch, within
from wallet.address import Address
from wallet.amount import format_amount, format_size

MAX_SCORE = 1000
NEUTRAL = 500
"""A stranger's score."""
LEAST_SCORE = 200
"""A host with less is given nothing."""
MAX_CANDIDATES = 2000
"""More are not looked at: the choice is as good, and its time stays bounded."""
_COST_SCALE = 2**20
"""So that dividing by the score does not level small prices."""


def network_of(address: str) -> str:
    """The /24 or /48 of an IP address, as the key to tell networks apart. Raises `ValueError` for what is none.

    An IPv4 address written as IPv6 (::ffff:a.b.c.d) is the IPv4 address.
    """
    ip = ip_address(address)
    if ip.version == 6 and ip.ipv4_mapped is not None:
        ip = ip.ipv4_mapped
    kept = 3 if ip.version == 4 else 6
    return f"{ip.version}:{ip.packed[:kept].hex()}"


@dataclass(frozen=True, slots=True)
class Candidate:
    """A host that could take a shard. `owner`: whoever gets its money; `score`: 0 to 1000, own experience with it."""

    table: PriceTable
    network: str
    score: int = NEUTRAL

    @property
    def host(self) -> Address:
        return self.table.host

    @property
    def owner(self) -> Address:
        return self.table.payee


@dataclass(frozen=True, slots=True)
class Request:
    """What is to be placed: `shards` hosts for `length` bytes each, over `seconds`.

    `max_price`: units per GiB and day, all in, the most the user pays; `askers`: how many accounts audit; `id`: 32
    bytes, the object's; `owners`, `networks`: where its other shards are.
    """

    id: bytes
    shards: int
    length: int
    seconds: int
    max_price: int
    askers: int = 1
    least_score: int = LEAST_SCORE
    owners: Set[Address] = frozenset()
    networks: Set[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Placement:
    """The choice, cheapest first. `refused`: host → one line, for all others; `missing`: hosts that were not found."""

    chosen: tuple[Candidate, ...]
    refused: Mapping[Address, str]
    missing: int


def choose(request: Request, candidates: Iterable[Candidate], now: int) -> Placement:
    """The cheapest permitted hosts, as many as there are up to `request.shards`."""
    refused: dict[Address, str] = {}
    able: dict[Address, Candidate] = {}
    for candidate in candidates:
        reason = refusal(request, candidate, now)
        if reason is None and candidate.host in able:
            continue  # a host that answered twice is one host
        if reason is None and len(able) == MAX_CANDIDATES:
            reason = f"{MAX_CANDIDATES} other hosts were looked at"
        if reason is None:
            able[candidate.host] = candidate
        else:
            refused[candidate.host] = reason
    ranked = sorted(able.values(), key=lambda candidate: _rank(request, candidate))
    costs = [_cost(request, candidate) for candidate in ranked]
    places = _matching([(each.owner.raw, each.network) for each in ranked], costs, request.shards)
    chosen = tuple(ranked[place] for place in sorted(places))
    for candidate in ranked:
        if candidate not in chosen:
            refused[candidate.host] = _unchosen(candidate, chosen)
    return Placement(chosen, refused, request.shards - len(chosen))


def refusal(request: Request, candidate: Candidate, now: int) -> str | None:
    """Why this host cannot take a shard of this object; None: it can."""
    table = candidate.table
    try:
        table.validate(now)
    except TermsError as error:
        return str(error)
    epochs = epochs_for(request.seconds, table.epoch_length)
    price = price_per_epoch(table, request.length, epochs, askers=request.askers)
    rate = daily_rate(price, request.length, table.epoch_length)
    dear = not within(price, request.length, table.epoch_length, request.max_price)
    reasons = (
        (dear, too_dear(rate, request.max_price)),
        (
            table.free < request.length,
            f"has {format_size(table.free)} free, and {format_size(request.length)} are needed",
        ),
        (epochs < table.min_epochs, f"rents for {table.min_epochs * table.epoch_length} s or more"),
        (epochs > table.max_epochs, f"rents for {table.max_epochs * table.epoch_length} s at most"),
        (candidate.score < request.least_score, f"its score is {candidate.score}, below {request.least_score}"),
        (candidate.owner in request.owners, "its owner has another shard of this object"),
        (candidate.network in request.networks, "its network has another shard of this object"),
    )
    return next((reason for refused, reason in reasons if refused), None)


def too_dear(price: int, most: int) -> str:
    """Why a host is not chosen, or not any more. Units per GiB and day, all in."""
    return f"asks {format_amount(price)} per GiB and day, all in: too dear, the most you pay is {format_amount(most)}"


def _cost(request: Request, candidate: Candidate) -> int:
    """What the term costs, weighed by the score: rounded up, at least 1."""
    table = candidate.table
    epochs = epochs_for(request.seconds, table.epoch_length)
    price = epochs * price_per_epoch(table, request.length, epochs, askers=request.askers)
    return 1 + price * _COST_SCALE * MAX_SCORE // max(1, candidate.score)


def _rank(request: Request, candidate: Candidate) -> tuple[int, bytes]:
    return _cost(request, candidate), sha256(request.id + candidate.host.raw).digest()


def _unchosen(candidate: Candidate, chosen: tuple[Candidate, ...]) -> str:
    for other in chosen:
        if other.owner == candidate.owner:
            return f"has the same owner as {other.host}, which was chosen"
    for other in chosen:
        if other.network == candidate.network:
            return f"is in the same network as {other.host}, which was chosen"
    return "is dearer for its score than those chosen"


def _matching(edges: list[tuple[bytes, str]], costs: list[int], wanted: int) -> list[int]:
    """The places of the cheapest `wanted` edges with distinct ends, or of as many as there can be."""
    cheapest: dict[tuple[bytes, str], int] = {}
    for place, edge in enumerate(edges):
        cheapest.setdefault(edge, place)  # edges come sorted by cost
    usable = list(cheapest.values())
    by_owner: dict[bytes, int] = {}
    by_network: dict[str, int] = {}
    for _ in range(wanted):
        path = _augment(edges, costs, usable, by_owner, by_network)
        if path is None:
            break
        for place in path:  # every second one is taken back; those that stay write over what it leaves
            owner, network = edges[place]
            by_owner[owner] = by_network[network] = place
    return list(by_owner.values())


def _augment(
    edges: list[tuple[bytes, str]],
    costs: list[int],
    usable: list[int],
    by_owner: dict[bytes, int],
    by_network: dict[str, int],
) -> list[int] | None:
    """The edges to add for one more, at least extra cost: Bellman–Ford over alternating paths.

    A path starts at a free owner, takes an edge to a network; if that is taken, its edge is given back, which frees
    that one's owner, and so on to a free network. `distance`: the least extra cost at which an owner can be freed.
    """
    distance = {edges[place][0]: 0 for place in usable if edges[place][0] not in by_owner}
    came: dict[bytes, int] = {}
    contested = [(place, by_network[edges[place][1]]) for place in usable if edges[place][1] in by_network]
    changed = True
    while changed:
        changed = False
        for place, taken in contested:
            owner = edges[place][0]
            if owner not in distance or taken == place:
                continue
            freed, extra = edges[taken][0], distance[owner] + costs[place] - costs[taken]
            if freed not in distance or extra < distance[freed]:
                distance[freed], came[freed], changed = extra, place, True
    ends = [place for place in usable if edges[place][1] not in by_network and edges[place][0] in distance]
    if not ends:
        return None
    path = [min(ends, key=lambda place: (distance[edges[place][0]] + costs[place], place))]
    while (owner := edges[path[-1]][0]) in by_owner:
        path.append(came[owner])
    return path
