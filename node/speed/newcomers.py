"""How much unpaid data those who have never paid may take together.

Theory. Addresses of payers cost nothing, addresses of the Internet do: whoever owns one /24 (IPv4) or /48 (IPv6, what a
customer usually gets) may appear as thousands of payers. So a newcomer's credit is drawn from a budget of its prefix, a
leaky bucket: it holds one window, fills as newcomers take from it, and empties as they pay, or with time (one window
per `release_ms`). Over any time t, a prefix can thus keep at most

    window + window x t / release

bytes beyond what it paid for, whatever number of identities it shows. (An identity that has paid for x bytes may hold x
unpaid ones beside its draw; see `node.speed.credit`.)

Memory is bounded. When the table is full, the prefix that was used least recently is forgotten, and the highest level
of all that were forgotten is remembered (and leaks as they do). A prefix that is not in the table starts at that level.
So eviction can only make prefixes poorer, never richer; with a full table an unknown prefix may find less than a
window.
"""

from __future__ import annotations

import ipaddress
from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass, field

from wallet.amount import MIB

LEAST_DRAW = 16 * 1024
"""Bytes: one block. Nothing smaller is handed out, which bounds the identities remembered per prefix."""

NO_ADDRESS = "other"
"""The prefix of all peers that are not reached by an IP address."""

_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")


def prefix_of(host: str) -> str:
    """'192.0.2.7' → '192.0.2.0/24', '2001:db8:1:2::3' → '2001:db8:1::/48'.

    IPv6 addresses that only stand for an IPv4 address (mapped, 6to4, the well-known NAT64 prefix) count as that one. A
    text that is no address belongs to `NO_ADDRESS`.
    """
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return NO_ADDRESS
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour
        if inner is None and address in _NAT64:
            inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        if inner is None:
            return str(ipaddress.ip_network((int(address), 48), strict=False))
        address = inner
    return str(ipaddress.ip_network((int(address), 24), strict=False))


@dataclass(slots=True)
class _Bucket:
    """`level` in bytes x `release_ms`, so that leaking is exact; `draws` in bytes, the oldest first."""

    level: int
    at_ms: int
    draws: OrderedDict[Hashable, int] = field(default_factory=OrderedDict)


class Newcomers:
    """The budgets of all prefixes. Sizes in bytes, times in milliseconds of a clock that never goes back."""

    def __init__(self, *, window: int = MIB, release_ms: int = 3_600_000, max_prefixes: int = 16_384) -> None:
        if window < LEAST_DRAW or release_ms < 1 or max_prefixes < 1:
            raise ValueError(f"newcomers: need a window of at least {LEAST_DRAW} bytes, a time and a prefix")
        self.window = window
        self.release_ms = release_ms
        self.max_prefixes = max_prefixes
        self._buckets: OrderedDict[str, _Bucket] = OrderedDict()
        self._forgotten = _Bucket(0, 0)

    def __len__(self) -> int:
        return len(self._buckets)

    def draw(self, host: str, who: Hashable, wanted: int, now_ms: int) -> int:
        """Newcomer `who` at `host` asks for credit of `wanted` bytes; returns the credit it holds after this.

        Asking again tops up what it holds, it never starts afresh. Draws below a block (`LEAST_DRAW`) give nothing.
        """
        bucket = self._bucket(prefix_of(host), now_ms)
        has = bucket.draws.get(who, 0)
        free = self.window - -(-bucket.level // self.release_ms)
        more = min(wanted - has, free)
        if more < LEAST_DRAW:
            return has
        bucket.level += more * self.release_ms
        bucket.draws[who] = has + more
        return has + more

    def give_back(self, host: str, who: Hashable, unused: int, now_ms: int) -> None:
        """`who` needs `unused` bytes of its draw no more: it has paid, or it has left and was never sent them."""
        prefix = prefix_of(host)
        if prefix not in self._buckets:
            return
        bucket = self._bucket(prefix, now_ms)
        has = bucket.draws.get(who, 0)
        back = max(0, min(unused, has))
        bucket.level = max(0, bucket.level - back * self.release_ms)
        if back == has:
            bucket.draws.pop(who, None)
        else:
            bucket.draws[who] = has - back

    def level(self, host: str, now_ms: int) -> int:
        """Bytes that the newcomers of this host's prefix hold now, rounded up."""
        bucket = self._buckets.get(prefix_of(host), self._forgotten)
        return -(-self._leaked(bucket, now_ms) // self.release_ms)

    def _leaked(self, bucket: _Bucket, now_ms: int) -> int:
        return max(0, bucket.level - max(0, now_ms - bucket.at_ms) * self.window)

    def _bucket(self, prefix: str, now_ms: int) -> _Bucket:
        bucket = self._buckets.get(prefix)
        if bucket is None:
            bucket = self._buckets[prefix] = _Bucket(self._leaked(self._forgotten, now_ms), now_ms)
            self._forget(now_ms)
        self._buckets.move_to_end(prefix)
        self._leak(bucket, now_ms)
        return bucket

    def _leak(self, bucket: _Bucket, now_ms: int) -> None:
        """Let time pass. What has leaked is not drawn any more: the oldest draws go first."""
        bucket.level, bucket.at_ms = self._leaked(bucket, now_ms), max(bucket.at_ms, now_ms)
        surplus = sum(bucket.draws.values()) - -(-bucket.level // self.release_ms)
        while surplus > 0:
            who, size = bucket.draws.popitem(last=False)
            if size > surplus:
                bucket.draws[who] = size - surplus
                bucket.draws.move_to_end(who, last=False)
            surplus -= size

    def _forget(self, now_ms: int) -> None:
        while len(self._buckets) > self.max_prefixes:
            _, evicted = self._buckets.popitem(last=False)
            level = max(self._leaked(self._forgotten, now_ms), self._leaked(evicted, now_ms))
            self._forgotten = _Bucket(level, max(self._forgotten.at_ms, now_ms))
