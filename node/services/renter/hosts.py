"""The calls to one host, typed: what is sent is well-formed, and what comes back was checked against what was asked.

A host's words are judged here and nowhere else: a quote by its signature and market, consent by its signature over the
very contract. Everything raised is a `PeerApiError`, or a `HostError` for an answer that breaks the protocol.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import TypeVar

from node.ports.peerapi import Peer, PeerApi, PeerApiError
from node.ports.renting import FoundHost, Rental
from node.services.renter.errors import HostError
from node.storage.audit import ANSWER_SECONDS, Challenge
from node.storage.errors import MessageError, TermsError
from node.storage.messages import (
    AnswerBody,
    Body,
    CancelCall,
    ChallengeCall,
    Consent,
    LabelCall,
    Proposal,
    Quote,
    RecallCall,
    Recalled,
    Taken,
    TermsCall,
    VoucherCall,
)
from node.storage.messages import path as path_of
from node.storage.placement import Candidate
from wallet.errors import WalletError
from wallet.storage_terms import Cancel, Market, Signable, StorageContract, Voucher, accept_voucher, verify

QUOTES_AT_ONCE = 16
CALL_SECONDS = 15.0
LABEL_SECONDS = 60.0
"""A label may have half a MiB."""

M = TypeVar("M", Quote, Consent, AnswerBody, Recalled, Taken)


class Hosts:
    """Asks hosts about storage on one market."""

    def __init__(self, api: PeerApi, market: Market) -> None:
        self._api = api
        self.market = market

    async def quote(self, peer: Peer, now: int) -> Quote:
        """The host's price table, in force at Unix second `now`."""
        quote = await self._ask(peer, "terms", TermsCall(self.market).body(), Quote)
        if quote.market != self.market:
            raise HostError(f"{peer.url} rents on another market")
        if quote.table.host != peer.address:
            raise HostError(f"{peer.url} sent another host's prices")
        try:
            quote.table.validate(now)
            verify(self.market, quote.table, quote.signature, peer.address)
        except (TermsError, WalletError) as error:
            raise HostError(f"{peer.url}: {error}") from error
        return quote

    async def quotes(self, found: Sequence[FoundHost], now: int) -> list[tuple[FoundHost, Quote]]:
        """The quotes of those that answer."""
        turns = asyncio.Semaphore(QUOTES_AT_ONCE)

        async def ask(host: FoundHost) -> tuple[FoundHost, Quote] | None:
            async with turns:
                try:
                    return host, await self.quote(host.peer, now)
                except (PeerApiError, HostError):
                    return None

        return [each for each in await asyncio.gather(*map(ask, found)) if each is not None]

    async def propose(self, rental: Rental, peers: Sequence[str]) -> bytes:
        """The host's signature over the contract. `peers`: where the shard can be had."""
        proposal = Proposal(self.market, rental.terms, rental.renter_signature, tuple(peers), rental.renews or None)
        consent = await self._ask(rental.peer, "propose", proposal.body(), Consent)
        return self._agreed(rental, rental.terms, consent)

    async def cancel(self, rental: Rental, cancel: Cancel, signature: bytes) -> bytes:
        """The host's signature over a cancellation."""
        consent = await self._ask(rental.peer, "cancel", CancelCall(cancel, signature).body(), Consent)
        return self._agreed(rental, cancel, consent)

    async def challenge(self, rental: Rental, challenge: Challenge, signature: bytes) -> AnswerBody:
        """Blocks and paths, as they came: `node.storage.audit.judge` says what they show."""
        body = ChallengeCall(challenge, signature).body()
        return await self._ask(rental.peer, "challenge", body, AnswerBody, deadline=float(ANSWER_SECONDS))

    async def voucher(self, rental: Rental, voucher: Voucher, signature: bytes) -> Taken:
        """Returns when the host has it, with what it has to say besides."""
        return await self._ask(rental.peer, "voucher", VoucherCall(voucher, signature).body(), Taken)

    async def label(self, rental: Rental, number: int, data: bytes) -> None:
        """Returns when the host keeps this sealed label."""
        call = LabelCall(rental.id, number, data)
        await self._api.ask(rental.peer, path_of("label"), call.body(), deadline=LABEL_SECONDS)

    async def recall(self, peer: Peer, contract: StorageContract) -> Recalled:
        """What the host has of a contract of ours; signature and voucher hold, the label is still sealed."""
        contract_id = contract.digest(self.market)
        found = await self._ask(peer, "recall", RecallCall(contract_id).body(), Recalled, deadline=LABEL_SECONDS)
        try:
            verify(self.market, contract, found.signature, contract.host)
            if found.through_epoch:
                voucher = Voucher(contract_id, found.through_epoch)
                accept_voucher(self.market, contract, voucher, found.voucher or b"", 0)
        except WalletError as error:
            raise HostError(f"{peer.url}: {error}") from error
        return found

    async def _ask(self, peer: Peer, call: str, body: Body, kind: type[M], *, deadline: float = CALL_SECONDS) -> M:
        answer = await self._api.ask(peer, path_of(call), body, deadline=deadline)
        try:
            return kind.parse(answer)
        except MessageError as error:
            raise HostError(f"{peer.url}: {error}") from error

    def _agreed(self, rental: Rental, message: Signable, consent: Consent) -> bytes:
        try:
            verify(self.market, message, consent.signature, rental.terms.host)
        except WalletError as error:
            raise HostError(f"{rental.url}: {error}") from error
        return consent.signature


def candidate(found: FoundHost, quote: Quote) -> Candidate:
    """As the placement core wants it."""
    return Candidate(quote.table, found.network, found.score)


def heard_from(rental: Rental, said: Recalled | None, quote: Quote | None) -> Rental:
    """A record that was lost, with what its host tells of it; nothing that is known is taken back."""
    if quote is not None and not rental.peers:
        rental = replace(rental, peers=quote.peers, download_price=quote.table.download_price)
    if said is None:
        return rental
    rental = replace(rental, host_signature=rental.host_signature or said.signature)
    if said.through_epoch > rental.vouched:
        signature = said.voucher or b""
        rental = replace(rental, vouched=said.through_epoch, voucher_signature=signature, told=said.through_epoch)
    return rental
