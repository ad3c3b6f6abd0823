"""What the market, the token and the nodes say of rented storage, read for `node.demo.storage_books`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from node.demo.processes import DemoError
from node.demo.storage_books import HostBooks, LeaseBooks, MarketLog, StorageBooks
from node.demo.storage_nodes import Host
from node.rails import OpenRail
from wallet.address import Address
from wallet.storage.chain import StorageMarket
from wallet.storage.events import MarketEvent, Status

BLOCKS = 1000
"""Whose log is read with one request."""


@dataclass(frozen=True, slots=True)
class OnChain:
    """One rail, at its head. `balances`: account → token units in the market; `tokens`: the market's own."""

    log: MarketLog
    balances: dict[Address, int]
    tokens: int


async def read_chain(rail: OpenRail, accounts: Sequence[Address]) -> OnChain:
    """Of these accounts. Raises `ChainError`."""
    market = market_of(rail)
    head = (await rail.chain.head()).number
    events: list[MarketEvent] = []
    for first in range(0, head + 1, BLOCKS):
        events += [happened.event for happened in await market.events(first, min(head, first + BLOCKS - 1))]
    balances = dict(zip(accounts, await market.balances(*accounts), strict=True))
    return OnChain(MarketLog.read(events), balances, await rail.chain.token_balance(market.address))


async def paid_epochs(rail: OpenRail, contract_ids: Sequence[str]) -> list[int]:
    """How many epochs the market has paid, contract by contract, at its head. Raises `ChainError`."""
    records = await market_of(rail).records([bytes.fromhex(name) for name in contract_ids])
    return [record.paid_epochs for record in records]


def market_of(rail: OpenRail) -> StorageMarket:
    if rail.market is None:
        raise DemoError(f"{rail.name} has no storage market")
    return rail.market


def host_books(host: Host, network: str, chain: OnChain) -> HostBooks:
    """One host on one rail; its node is asked."""
    (line,) = [line for line in host.node.call("GET", "/v1/host") if line["rail"] == network]
    leases, said = chain.log.of(host.address), line["money"]
    return HostBooks(
        name=host.name,
        put_in=chain.log.put_in.get(host.address, 0),
        paid=sum(lease.paid for lease in leases),
        bonds=sum(lease.bonds for lease in leases),
        lost=sum(lease.lost for lease in leases),
        balance=chain.balances[host.address],
        says_paid=int(said["claimed"]),
        says_bonds=int(said["bonds"]),
        says_lost=int(said["lost"]),
    )


def storage_books(
    *,
    digests: tuple[str, str],
    wallet: tuple[int, int],
    renter: Address,
    stored: dict[str, Any],
    chain: OnChain,
    hosts: tuple[HostBooks, ...],
) -> StorageBooks:
    """One rail. `digests`: of the file and of what was restored; `wallet`: the renter's, before and after; `stored`:
    what the renter's node says of the object."""
    said = {bytes.fromhex(each["id"]): each for each in stored["contracts"]}
    leases = tuple(
        LeaseBooks(
            name=f"contract {name.hex()[:12]}",
            escrow=lease.terms.escrow,
            collateral=lease.terms.collateral,
            paid=lease.paid,
            to_renter=lease.to_renter,
            to_host=lease.to_host,
            ended_well=lease.status is Status.COMPLETED,
            says_paid=int(said[name]["paid"]) if name in said else 0,
            says_state=said[name]["state"] if name in said else "unknown",
        )
        for name, lease in chain.log.leases.items()
    )
    return StorageBooks(
        file_sha256=digests[0],
        restored_sha256=digests[1],
        wallet_before=wallet[0],
        wallet_after=wallet[1],
        put_in=chain.log.put_in.get(renter, 0),
        balance=chain.balances[renter],
        market_tokens=chain.tokens,
        leases=leases,
        hosts=hosts,
    )
