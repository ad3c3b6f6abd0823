"""What the API says of a torrent's cost, before and after."""

from __future__ import annotations

from node.http.models import Model, Units


class Estimate(Model):
    """What is missing of a torrent may cost this. Prices in units per MiB. Null: not known."""

    size: int | None
    sellers: int
    """Connected ones whose reserve is within the highest price."""
    lowest_cost: Units | None
    highest_cost: Units
    """Whatever happens: the highest price for every missing byte, or what the limits leave."""
    covered: bool
    """The limits pay for all of it even at the highest price."""
    max_price: Units
    budget: Units | None
    wanted_rate: int
    """Bytes per second as asked for, or as the deadline needs; 0: neither."""
    wanted_ms: int | None


class BillLine(Model):
    """One seller on one rail. `price`: the mean, units per MiB.

    `failed`: bytes of the connections that are open now that failed their hash, and cost nothing."""

    seller: str
    rail: str
    bytes: int
    amount: Units
    price: Units
    failed: int


class Bill(Model):
    """What a torrent has cost. `amount` is what the sellers earned; `paid` of it by durable cheques, `due` not yet,
    `netted` cancels out with what its sellers owe us (since the node's start)."""

    id: str
    name: str
    lines: list[BillLine]
    bytes: int
    free_bytes: int
    """Verified here, and bought from nobody."""
    amount: Units
    price: Units
    paid: Units
    due: Units
    netted: Units
    settled: bool
    started: int
    finished: int | None
    """Unix seconds."""
