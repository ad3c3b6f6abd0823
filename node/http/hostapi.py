"""What a host answers to other nodes: the storage calls of `node.storage.messages`, over `node.http.peers`.

| path                    | body            | answer       | who may                     |
|-------------------------|-----------------|--------------|-----------------------------|
| /storage/v1/terms       | {"market"?}     | `Quote`      | anybody                     |
| /storage/v1/propose     | `Proposal`      | `Consent`    | the renter it names         |
| /storage/v1/challenge   | `ChallengeCall` | `AnswerBody` | the renter, or the auditor  |
| /storage/v1/voucher     | `VoucherCall`   | `Taken`      | the renter, or the auditor  |
| /storage/v1/cancel      | `CancelCall`    | `Consent`    | the renter                  |
| /storage/v1/label       | `LabelCall`     | {}           | the renter                  |
| /storage/v1/recall      | `RecallCall`    | `Recalled`   | the renter                  |

A node may host on several rails. A proposal names its market; the other calls name a contract, which one rail has.
`terms` names the market as a proposal does, or nothing where there is only one.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from node.http.peers import Handler, RefusalError
from node.ports.store import StoreError
from node.ports.volumes import VolumeError
from node.services.host.errors import RefusedError
from node.services.host.host import Host
from node.storage.errors import MessageError
from node.storage.messages import (
    MAX_PEERS,
    CancelCall,
    ChallengeCall,
    LabelCall,
    Proposal,
    RecallCall,
    Taken,
    VoucherCall,
    read_market,
)
from wallet.address import Address
from wallet.chains.base import ChainError
from wallet.storage_terms import Market

PREFIX = "/storage/v1"

T = TypeVar("T")


class HostApi:
    """The handlers of one node. `hosts`: one per rail, at least one; `peers`: "IP:port"s of its engine."""

    def __init__(self, hosts: Sequence[Host], peers: Callable[[], Sequence[str]] = tuple) -> None:
        self._hosts = {host.market: host for host in hosts}
        self._peers = peers

    def routes(self) -> Mapping[str, Handler]:
        """For `PeerServer`."""
        return {
            f"{PREFIX}/terms": self.terms,
            f"{PREFIX}/propose": self.propose,
            f"{PREFIX}/challenge": self.challenge,
            f"{PREFIX}/voucher": self.voucher,
            f"{PREFIX}/cancel": self.cancel,
            f"{PREFIX}/label": self.label,
            f"{PREFIX}/recall": self.recall,
        }

    async def terms(self, sender: Address, body: Mapping[str, Any]) -> Mapping[str, Any]:
        named = body.get("market")
        host = self._host(None if named is None else _parsed(read_market, named))
        return replace(await _said(host.tables.quote()), peers=tuple(self._peers())[:MAX_PEERS]).body()

    async def propose(self, sender: Address, body: Mapping[str, Any]) -> Mapping[str, Any]:
        proposal = _parsed(Proposal.parse, body)
        return (await _said(self._host(proposal.market).propose(sender, proposal))).body()

    async def challenge(self, sender: Address, body: Mapping[str, Any]) -> Mapping[str, Any]:
        call = _parsed(ChallengeCall.parse, body)
        return (await _said(self._having(call.challenge.id).answers.answer(sender, call))).body()

    async def voucher(self, sender: Address, body: Mapping[str, Any]) -> Mapping[str, Any]:
        call = _parsed(VoucherCall.parse, body)
        host = self._having(call.voucher.id)
        gain = await _said(host.vouchers.take(sender, call))
        return Taken(gain, host.leaving.until(call.voucher.id)).body()

    async def cancel(self, sender: Address, body: Mapping[str, Any]) -> Mapping[str, Any]:
        call = _parsed(CancelCall.parse, body)
        return (await _said(self._having(call.cancel.id).cancelling.agree(sender, call))).body()

    async def label(self, sender: Address, body: Mapping[str, Any]) -> Mapping[str, Any]:
        call = _parsed(LabelCall.parse, body)
        await _said(self._having(call.id).labels.keep(sender, call))
        return {}

    async def recall(self, sender: Address, body: Mapping[str, Any]) -> Mapping[str, Any]:
        call = _parsed(RecallCall.parse, body)
        return (await _said(self._having(call.id).labels.recall(sender, call))).body()

    def _host(self, market: Market | None) -> Host:
        if market is None and len(self._hosts) == 1:
            return next(iter(self._hosts.values()))
        found = None if market is None else self._hosts.get(market)
        if found is None:
            names = ", ".join(f"{known.contract} on chain {known.chain_id}" for known in self._hosts)
            raise RefusalError("market", "this node does not host for that market", f"it hosts for {names}")
        return found

    def _having(self, contract_id: bytes) -> Host:
        for host in self._hosts.values():
            if host.contracts.get(contract_id) is not None:
                return host
        raise RefusalError("unknown", f"no contract {contract_id.hex()[:12]} is kept here")


def _parsed(read: Callable[[Any], T], body: Any) -> T:
    try:
        return read(body)
    except MessageError as error:
        raise RefusalError("malformed", str(error)) from None


async def _said(work: Awaitable[T]) -> T:
    """What a host says to a stranger: its own no in full, and of faults of this machine only that there is one."""
    try:
        return await work
    except RefusedError as error:
        raise RefusalError(error.code, str(error), error.hint) from None
    except (ChainError, VolumeError, StoreError):
        raise RefusalError("busy", "this host cannot see to it now", "ask again in a minute") from None
