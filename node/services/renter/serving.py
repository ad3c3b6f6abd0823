"""Whether a host serves its owner: now and then, a piece of the shard is fetched as everybody fetches it.

Theory. A host that answers challenges has the shard, and may still refuse it over BitTorrent: it would be paid for
something nobody can use. So a share of the audits that pass goes on with a download of one piece, drawn at random, from
this host only. It is an ordinary request of an ordinary peer (BEP 3), the first thing that a restore asks for too, so a
host that wants to fail restores cannot tell the two apart by what is asked. It costs at most one piece, 1 MiB.

What does not come leaves no signature, so it proves nothing to others: it counts as silence. There is no voucher, and
from then on no audit passes without a piece. That holds while the shard is being repaired, too: this node has it then,
and stops offering it for as long as it asks. Silence of this kind is never taken to the chain: an answer there needs
the shard and not the will to serve it, so the bond would be a present.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from node.ports.clock import Clock
from node.ports.peerapi import PeerApiError
from node.ports.renting import Rental, ShardCarrier, TransferError
from node.services.renter.auditing import Examined
from node.services.renter.errors import HostError
from node.services.renter.hosts import Hosts
from node.services.renter.policy import Policy
from node.storage.audit import PER_MILLE, Finding, Verdict
from node.storage.torrent import pieces

WAIT = 60.0
"""Seconds for a piece of 1 MiB: an upload slot may have to come free. A host that is too busy is asked again."""


class Serving:
    """Completes audits on one market. `folder`: for pieces on their way; `uniform(a, b)`: random, from a to b."""

    def __init__(
        self,
        carrier: ShardCarrier,
        hosts: Hosts,
        folder: Path,
        clock: Clock,
        policy: Policy,
        *,
        uniform: Callable[[int, int], int],
    ) -> None:
        self._carrier = carrier
        self._hosts = hosts
        self._folder = folder
        self._clock = clock
        self._policy = policy
        self._uniform = uniform

    def clean(self) -> None:
        """Throw away what a crash has left. Call before anything is asked for."""
        shutil.rmtree(self._folder, ignore_errors=True)

    async def complete(self, rental: Rental, examined: Examined) -> Examined:
        """The audit as it stands after a piece was asked for, where it is this one's turn. Never raises for what the
        host does."""
        must = rental.missed > 0
        if examined.finding.verdict is not Verdict.PASSED or not (must or self._drawn()):
            return examined
        terms = rental.terms
        piece = self._uniform(0, pieces(terms.length) - 1)
        fault = ""
        try:
            peers = await self._peers(rental)
            tried = await self._carrier.sample(
                terms.root,
                terms.length,
                piece,
                self._folder,
                peers,
                deadline=min(WAIT, self._policy.stalled),
                insist=must,
            )
        except TransferError as error:
            tried, fault = False, str(error)
        if must and not tried:
            fault = fault or "this node has or fetches the shard itself now"
        if fault:
            reason = f"it answers, but piece {piece} does not come over BitTorrent: {fault}"
            return Examined(Finding(Verdict.SILENT, reason), self._clock.wall(), None, unserved=True)
        if not tried:
            return examined
        return replace(examined, finding=Finding(Verdict.PASSED, f"{examined.finding.reason}; piece {piece} came"))

    def _drawn(self) -> bool:
        return self._uniform(1, PER_MILLE) <= self._policy.sampled

    async def _peers(self, rental: Rental) -> tuple[str, ...]:
        """Where its engine is, by its latest word. Raises `TransferError`."""
        try:
            told = (await self._hosts.quote(rental.peer, self._clock.wall())).peers
        except (PeerApiError, HostError):
            told = ()
        # One or the other: an engine keeps one port for an address, and the old one would take the new one's place.
        peers = tuple(told) or rental.peers
        if not peers:
            raise TransferError("the host has not said where its engine is")
        return peers
