"""Hosts that announce themselves in `HostRegistry`, read out of its final log, and the networks they are in.

The log is read from the block the registry was made in, once, and then what is new. A host's network is that of the
address its endpoint resolves to now: the one thing about it that it cannot simply claim.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import socket
from collections.abc import Awaitable, Callable, Mapping, Sequence
from urllib.parse import urlsplit

from node.ports.peerapi import Peer
from node.ports.renting import FoundHost
from node.storage.placement import NEUTRAL, network_of
from wallet.address import Address
from wallet.chains.base import ChainAdapter, ChainError
from wallet.storage.chain import HostRegistry
from wallet.storage.directory import Directory, HostEntry

log = logging.getLogger(__name__)

BLOCKS = 1000
"""Read with one request."""
RESOLVE_SECONDS = 5.0
AT_ONCE = 16

Resolve = Callable[[str], Awaitable[str | None]]


async def resolve(host: str) -> str | None:
    """An IP address of a name; None where there is none in time."""
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(RESOLVE_SECONDS):
            found = await loop.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, TimeoutError, UnicodeError):
        return None
    return str(found[0][4][0]) if found else None


class Registry:
    """The hosts of one rail's registry."""

    def __init__(self, registry: HostRegistry, chain: ChainAdapter, *, since: int) -> None:
        self._registry = registry
        self._chain = chain
        self._next = since
        self._directory = Directory()
        self._reading = asyncio.Lock()

    async def listed(self) -> Sequence[HostEntry]:
        """As of the newest final block; what was known before where the chain does not answer."""
        async with self._reading:
            try:
                final = (await self._chain.final()).number
                while self._next <= final:
                    last = min(final, self._next + BLOCKS - 1)
                    for happened in await self._registry.events(self._next, last):
                        self._directory.apply(happened.event, happened.block)
                    self._next = last + 1
            except ChainError as error:
                log.info("host registry: %s", error)
        return self._directory.listed()


class RegistryDiscovery:
    """The port `Discovery`. `own`: this node's account, which is no host for itself; `local`: a chain for development,
    whose hosts share one machine, so that each port is taken for a network of its own."""

    def __init__(
        self, registries: Mapping[str, Registry], own: Address, *, local: bool = False, resolve: Resolve = resolve
    ) -> None:
        self._registries = registries
        self._own = own
        self._local = local
        self._resolve = resolve
        self._turns = asyncio.Semaphore(AT_ONCE)

    async def hosts(self, rail: str) -> Sequence[FoundHost]:
        entries = [entry for entry in await self._registries[rail].listed() if entry.host != self._own]
        found = await asyncio.gather(*map(self._found, entries))
        return [host for host in found if host is not None]

    async def _found(self, entry: HostEntry) -> FoundHost | None:
        # A host whose API is signed by another key than its contracts cannot be asked yet.
        if entry.signer != entry.host:
            return None
        try:
            url = urlsplit(entry.endpoint)
            name, port = url.hostname, url.port
        except ValueError:
            return None
        if name is None:
            return None
        async with self._turns:
            address = await self._resolve(name)
        if address is None:
            return None
        try:
            network = network_of(address)
            if self._local and ipaddress.ip_address(address).is_loopback:
                network = f"{address}:{port}"
        except ValueError:
            return None
        return FoundHost(Peer(entry.host, entry.endpoint), network, NEUTRAL)
