"""Asks other nodes over HTTP.

The URL of a node comes from a stranger's announcement. So it may not point where only this machine can reach (loopback,
private networks: it would make us knock on our user's own services), redirects are not followed, no cookie and no proxy
credential goes out, and an answer has a length and a deadline. `local` lifts the first rule, for local chains.
"""

from __future__ import annotations

import asyncio
import ipaddress
import json
import socket
from collections.abc import Callable, Mapping
from typing import Any

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import DefaultResolver
from yarl import URL

from node.peerapi.envelope import NONCE, EnvelopeError, Request, check_answer, seal_request
from node.ports.clock import Clock
from node.ports.peerapi import Peer, PeerAwayError, PeerBrokenError, PeerRefusedError
from wallet import jsontext
from wallet.keys import PrivateKey

MAX_ANSWER = 4 << 20
"""Bytes: 64 blocks with their paths, in base64, leave room."""
MAX_CONNECTIONS = 64
MAX_TEXT = 200
"""Characters of another node's words that are shown."""
SIGNATURE = "Bttnode-Signature"

_BUSY = frozenset({429, 502, 503, 504})
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")


class HttpPeerApi:
    """The port `PeerApi`. `nonce`: random bytes of a length."""

    def __init__(self, key: PrivateKey, clock: Clock, *, nonce: Callable[[int], bytes], local: bool = False) -> None:
        self._key = key
        self._clock = clock
        self._nonce = nonce
        self._local = local
        self._session: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def ask(self, peer: Peer, path: str, body: Mapping[str, Any], *, deadline: float = 15.0) -> dict[str, Any]:
        url = self._url(peer, path)
        content = json.dumps(body, separators=(",", ":")).encode()
        request = Request.of("POST", path, peer.address, self._clock.wall(), self._nonce(NONCE), content)
        headers = {"Authorization": seal_request(request, self._key), "Content-Type": "application/json"}
        try:
            async with (
                asyncio.timeout(deadline),
                self._open().post(url, data=content, headers=headers, allow_redirects=False) as response,
            ):
                text = await _read(response)
                status, signature = response.status, response.headers.get(SIGNATURE, "")
        except TimeoutError:
            raise PeerAwayError(f"{peer.url} has not answered within {deadline:g} s") from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            cause = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else error
            raise PeerAwayError(f"{peer.url} cannot be reached ({_short(cause)})") from None
        if status in _BUSY and not signature:  # told to everybody, before anything is verified
            raise PeerAwayError(f"{peer.url} takes no more requests for now (status {status})")
        try:
            check_answer(signature, request, status, text)
        except EnvelopeError as error:
            raise PeerBrokenError(f"{peer.url}: {error} (status {status})") from None
        answer = _object(text, peer)
        if status == 200:
            return answer
        raise PeerRefusedError(*(_word(answer, key) for key in ("code", "error", "hint")))

    def _url(self, peer: Peer, path: str) -> URL:
        try:
            base = URL(peer.url)
            valid = base.scheme in ("http", "https") and base.host and not base.user and not base.query_string
        except ValueError:
            valid = False
        if not valid:
            raise PeerBrokenError(f"{_short(peer.url)!r} is no URL of a node")
        if not self._local and base.host is not None and _is_address(base.host) and not _public(base.host):
            raise PeerBrokenError(f"{base.host} is not reachable from the Internet")
        return URL(f"{base.scheme}://{base.authority}{path}", encoded=True)

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            connector = aiohttp.TCPConnector(
                limit=MAX_CONNECTIONS, limit_per_host=4, resolver=DefaultResolver() if self._local else _PublicOnly()
            )
            self._session = aiohttp.ClientSession(
                connector=connector, cookie_jar=aiohttp.DummyCookieJar(), headers={"User-Agent": "bttnode"}
            )
        return self._session


class _PublicOnly(AbstractResolver):
    """Names that lead to this machine or its own network lead nowhere."""

    def __init__(self) -> None:
        self._resolver = DefaultResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        found = [entry for entry in await self._resolver.resolve(host, port, family) if _public(entry["host"])]
        if not found:
            raise OSError(f"{host} is not reachable from the Internet")
        return found

    async def close(self) -> None:
        await self._resolver.close()


async def _read(response: aiohttp.ClientResponse) -> bytes:
    parts, size = [], 0
    async for part in response.content.iter_any():
        size += len(part)
        if size > MAX_ANSWER:
            raise aiohttp.ClientPayloadError(f"an answer of more than {MAX_ANSWER} bytes")
        parts.append(part)
    return b"".join(parts)


def _object(text: bytes, peer: Peer) -> dict[str, Any]:
    try:
        answer = jsontext.load(text)
    except ValueError:
        answer = None
    if not isinstance(answer, dict):
        raise PeerBrokenError(f"{peer.url}: the answer is not a JSON object")
    return answer


def _word(answer: Mapping[str, Any], key: str) -> str:
    value = answer.get(key)
    return _short(value) if isinstance(value, str) else ""


def _short(value: object) -> str:
    """Somebody else's words, in one line."""
    return "".join(letter if letter.isprintable() else " " for letter in str(value)[:MAX_TEXT])


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _public(host: str) -> bool:
    address = ipaddress.ip_address(host.partition("%")[0])
    if isinstance(address, ipaddress.IPv6Address):
        # Addresses that only stand for an IPv4 address lead where that one leads.
        inner = address.ipv4_mapped or address.sixtofour
        if inner is None and address in _NAT64:
            inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        if inner is not None:
            return inner.is_global
    return address.is_global and not address.is_multicast
