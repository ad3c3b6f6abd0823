"""Carries out what sessions want: messages and service through the engine, and whatever has to wait as tasks.

    session ──outputs──▶ Carrier ──▶ engine                      send, allowance, service, disconnect
                            └──────▶ `Selling` or `Buying`       what needs the store, the chain or the key

Outputs of one call are carried out in order. The two halves register what they take (`on`), so that neither knows the
other.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, TypeVar

from node.ports.clock import Clock
from node.ports.engine import Engine, UploadPolicy
from node.ports.store import StoreError
from node.services.trades import LastWord, Trade
from node.speed.buyer import BuyerState
from node.speed.errors import StopCode
from node.speed.messages import encode_message
from node.speed.moment import Now
from node.speed.outputs import Disconnect, Notice, Output, Send, Service, SetAllowance, SetService
from wallet.errors import WalletError

log = logging.getLogger(__name__)

RETRY_BID = 30.0
"""Seconds before a refused bid is tried again (vault refilled, chain back)."""
SERVICE = {
    Service.FREE: UploadPolicy(),
    Service.PRICED: UploadPolicy(priority=200, reserved=True),
}
TEMPORARY = (StopCode.INSOLVENT, StopCode.CHAIN_UNAVAILABLE, StopCode.EXPIRED)
"""A seller's reasons after which another bid may do better."""

OutputT = TypeVar("OutputT")


class Carrier:
    """One per node, shared by both halves of the market."""

    def __init__(self, engine: Engine, clock: Clock) -> None:
        self.on_local_fault: Callable[[Exception], None] = lambda error: None
        self.on_service: Callable[[Trade, Service], None] = lambda trade, service: engine.set_upload(
            trade.peer, SERVICE[service]
        )
        self._engine = engine
        self._clock = clock
        self._tasks: set[asyncio.Task[None]] = set()
        self._takers: dict[type, Callable[[Trade, Any], None]] = {}

    def on(self, kind: type[OutputT], take: Callable[[Trade, OutputT], None]) -> None:
        """From now on outputs of this kind go to `take`."""
        self._takers[kind] = take

    def now(self) -> Now:
        return Now(self._clock.now(), self._clock.wall())

    def run(self, trade: Trade, outputs: Sequence[Output]) -> None:
        """Carry them out, in order."""
        for output in outputs:
            log.debug("peer %s: %s", trade.host, output)
            match output:
                case Send(message, tag):
                    self._engine.send(trade.peer, encode_message(message), tag)
                case SetAllowance(mark):
                    self._engine.set_allowance(trade.peer, mark)
                case SetService(service):
                    self.on_service(trade, service)
                case Notice():
                    self._notice(trade, output)
                case Disconnect(reason, ban):
                    self.disconnect(trade, reason, ban=ban)
                case _:
                    self._takers[type(output)](trade, output)

    def disconnect(self, trade: Trade, reason: str, *, ban: bool = False) -> None:
        (self._engine.ban if ban else self._engine.disconnect)(trade.peer, reason)

    def spawn(self, work: Coroutine[None, None, None]) -> None:
        """Work that waits for disk or chain; a fault of ours in it goes to `on_local_fault`."""
        task = asyncio.ensure_future(self._guard(work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def drain(self) -> None:
        """Until everything spawned has ended, and what that has spawned."""
        while self._tasks:
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _guard(self, work: Coroutine[None, None, None]) -> None:
        try:
            await work
        except (StoreError, WalletError) as error:
            log.error("payments: %s", error)
            self.on_local_fault(error)

    def _notice(self, trade: Trade, notice: Notice) -> None:
        trade.last_word = LastWord(notice.code, notice.text, notice.by_peer)
        log.info("peer %s (%s): %s", trade.host, "says" if notice.by_peer else "told", notice.text)
        now = self._clock.now()
        # What we refuse to sell to a peer does not end what we buy from it.
        stopped = trade.buyer is not None and trade.buyer.state is BuyerState.STOPPED
        if stopped and not notice.by_peer and trade.stopped_at is None:
            trade.stopped_at = now
        if notice.by_peer and notice.code in TEMPORARY:
            trade.retry_bid_at = now + RETRY_BID
