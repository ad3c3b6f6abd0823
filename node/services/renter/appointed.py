"""The auditor: contracts of others, audited, vouched for and disputed in the place of a renter who is away.

A contract names its auditor, so both parties have agreed to it, and the market takes its vouchers and its challenges.
It holds no shard and no escrow. What it risks is its own bond, within its own policy; what it finds it keeps as
evidence for the renter (`evidence`). What it is paid for this is between it and the renter: no contract holds it, and
`evidence list` shows both of them what was done.
"""

from __future__ import annotations

from collections.abc import Mapping

from node.ports.renting import FOR_OTHERS, MarketPort, Rental, RenterStore
from node.services.renter.contracts import Contracts
from node.services.renter.disputes import Disputes
from node.services.renter.errors import RequestError
from node.services.renter.together import together
from node.services.renter.watch import Watch
from node.storage.lifecycle import ENDS, State
from node.storage.messages import Appointment
from wallet.address import Address
from wallet.errors import WalletError
from wallet.storage_terms import verify

MOST_TAKEN = 4096
"""Contracts that run, audited for others at a time."""


class Appointed:
    """Of all rails; the maps are by rail. `own`: the account that contracts name."""

    def __init__(
        self,
        *,
        markets: Mapping[str, MarketPort],
        contracts: Mapping[str, Contracts],
        watch: Mapping[str, Watch],
        disputes: Mapping[str, Disputes],
        store: RenterStore,
        own: Address,
    ) -> None:
        self._markets = markets
        self._contracts = contracts
        self._watch = watch
        self._disputes = disputes
        self._store = store
        self._own = own

    async def take(self, appointment: Appointment) -> Rental:
        """Audit a contract for its renter from now on, and vouch for what passes, as its auditor.

        Raises `RequestError` unless both parties signed a contract that names this node.
        """
        terms, market = appointment.contract, appointment.market
        rail = next((rail for rail, known in self._markets.items() if known.market == market), None)
        if rail is None:
            raise RequestError(f"no rail of this node has the market {market.contract} on chain {market.chain_id}")
        if terms.auditor != self._own:
            raise RequestError(f"the contract's auditor is {terms.auditor}, not this node")
        try:
            verify(market, terms, appointment.renter_signature, terms.renter)
            verify(market, terms, appointment.host_signature, terms.host)
        except WalletError as error:
            raise RequestError(str(error)) from error
        contract_id, running = terms.digest(market), 0
        for known in await self._store.rentals(FOR_OTHERS):
            running += known.state not in ENDS
            if known.id == contract_id:
                return known
        if running >= MOST_TAKEN:
            raise RequestError(f"{running} contracts are audited for others already, and no more are taken")
        rental = Rental(
            id=contract_id,
            object=FOR_OTHERS,
            shard=0,
            rail=rail,
            terms=terms,
            state=State.ACTIVE,
            url=appointment.url,
            network="",
            peers=(),
            download_price=0,
            renter_signature=appointment.renter_signature,
            host_signature=appointment.host_signature,
        )
        await self._store.save_rental(rental)
        return rental

    async def tick(self) -> None:
        """Do what is due now: follow the contracts, look after open challenges, audit."""
        given = await self._store.rentals(FOR_OTHERS)
        running = [rental for rental in given if rental.state not in ENDS and rental.rail in self._watch]
        await together(self._look(rental) for rental in running)
        given = await self._store.rentals(FOR_OTHERS)
        for rail, watch in self._watch.items():
            await watch.tick(rental for rental in given if rental.rail == rail and rental.state not in ENDS)

    async def _look(self, rental: Rental) -> None:
        await self._disputes[rental.rail].end(await self._contracts[rental.rail].glance(rental))
