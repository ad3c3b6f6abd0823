"""The tracker over HTTP: `/announce` (BEP 3, 7, 23) and `/scrape` (BEP 48)."""

from __future__ import annotations

import ipaddress
import logging
import os
import random
import time
from typing import Any
from urllib.parse import unquote_to_bytes

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from node.bencode import encode
from node.tracker.swarm import Announce, Counts, Limits, PeerEntry, Swarms, TrackerError, compact

MAX_LINE = 8 * 1024
"""Bytes of a request line or header field; the HTTP parser refuses a longer one. A scrape of 64 hashes needs half."""
KEEPALIVE = 15.0
MAX_DIGITS = 20
"""Some clients that do not know `left` send 2^64 - 1."""

log = logging.getLogger(__name__)


class _LocalFaultsOnly(logging.Filter):
    """Keeps what strangers send, such as a malformed request, from filling the log."""

    def filter(self, record: logging.LogRecord) -> bool:
        return not (record.exc_info and isinstance(record.exc_info[1], HttpProcessingError))


log.addFilter(_LocalFaultsOnly())


class TrackerServer:
    """Serves one `Swarms`. Port 0 takes any free one; `url` is the announce URL once started."""

    def __init__(
        self,
        host: str = "127.0.0.1",
        port: int = 0,
        allowed: frozenset[bytes] | None = None,
        limits: Limits | None = None,
    ) -> None:
        self._host = host
        self._port = port
        self._swarms = Swarms(allowed, limits, random.SystemRandom().sample)
        self._runner: web.AppRunner | None = None
        self.url = ""

    async def start(self) -> None:
        """Raises `OSError` when the address is not ours or the port is in use."""
        app = web.Application()
        app.add_routes([web.get("/announce", self._announce), web.get("/scrape", self._scrape)])
        self._runner = web.AppRunner(
            app,
            access_log=None,
            logger=log,
            shutdown_timeout=1.0,
            keepalive_timeout=KEEPALIVE,
            max_line_size=MAX_LINE,
            max_field_size=MAX_LINE,
        )
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, self._host, self._port).start()
        except OSError as error:
            await self.close()
            # A name that does not resolve has a negative number and a text of its own.
            reason = os.strerror(error.errno) if error.errno and error.errno > 0 else error.strerror
            raise OSError(error.errno, f"cannot listen on {self._host}:{self._port}: {reason}") from None
        host = f"[{self._host}]" if ":" in self._host else self._host
        self.url = f"http://{host}:{self._runner.addresses[0][1]}/announce"

    async def close(self) -> None:
        """Stop listening and hang up. Safe to call twice."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def _announce(self, request: web.Request) -> web.Response:
        query = _query(request)
        try:
            peers, counts = self._swarms.announce(_read_announce(request, query), time.monotonic())
        except TrackerError as error:
            return _answer({"failure reason": str(error)})
        reply: dict[str, Any] = {
            "interval": self._swarms.limits.interval,
            "min interval": self._swarms.limits.min_interval,
            "complete": counts.complete,
            "incomplete": counts.incomplete,
        }
        if _first(query, "compact") == b"0":
            reply["peers"] = [_plain(peer, with_id=_first(query, "no_peer_id") != b"1") for peer in peers]
        else:
            reply["peers"], v6 = compact(peers)
            if v6:
                reply["peers6"] = v6
        return _answer(reply)

    async def _scrape(self, request: web.Request) -> web.Response:
        found = self._swarms.scrape(_query(request).get("info_hash", []), time.monotonic())
        return _answer({"files": {info_hash: _counts(counts) for info_hash, counts in found.items()}})


def _plain(peer: PeerEntry, *, with_id: bool) -> dict[str, Any]:
    entry: dict[str, Any] = {"ip": peer.host, "port": peer.port}
    return {**entry, "peer id": peer.peer_id} if with_id else entry


def _counts(counts: Counts) -> dict[str, int]:
    return {"complete": counts.complete, "incomplete": counts.incomplete, "downloaded": counts.downloaded}


def _answer(body: dict[str, Any]) -> web.Response:
    return web.Response(body=encode(body), content_type="text/plain")


Query = dict[str, list[bytes]]


def _query(request: web.Request) -> Query:
    """The query as bytes: info-hashes are binary, which ordinary decoding would damage."""
    raw = request.rel_url.raw_query_string.encode("utf-8", "surrogateescape")
    result: Query = {}
    for part in raw.split(b"&"):
        name, _, value = part.partition(b"=")
        result.setdefault(name.decode("latin-1"), []).append(unquote_to_bytes(value.replace(b"+", b" ")))
    return result


def _first(query: Query, name: str) -> bytes:
    return query.get(name, [b""])[0]


def _read_announce(request: web.Request, query: Query) -> Announce:
    return Announce(
        info_hash=_first(query, "info_hash"),
        peer_id=_first(query, "peer_id"),
        host=_host(request, query),
        port=_number(query, "port") or 0,
        left=_number(query, "left"),
        event=_first(query, "event").decode("ascii", "replace"),
        numwant=_number(query, "numwant"),
    )


def _number(query: Query, name: str) -> int | None:
    """None where there is none, or a negative one, which clients send for "I do not know"."""
    text = _first(query, name)
    if not text:
        return None
    if not text.removeprefix(b"-").isdigit() or len(text) > MAX_DIGITS:
        raise TrackerError(f"{name} is not a number")
    return None if text.startswith(b"-") else int(text)


def _host(request: web.Request, query: Query) -> str:
    """The connection's address. `ip` counts only from this machine itself: anybody else could point it at a victim."""
    source = _address(request.remote or "127.0.0.1")
    given = _first(query, "ip")
    if not (given and source.is_loopback):
        return str(source)
    try:
        return str(_address(given.decode("ascii", "replace")))
    except ValueError:
        raise TrackerError("ip is not an address") from None


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """A v4 peer of a dual-stack socket is a v4 peer; a zone such as %eth0 means nothing on another machine."""
    address = ipaddress.ip_address(text)
    if isinstance(address, ipaddress.IPv4Address):
        return address
    return address.ipv4_mapped or ipaddress.IPv6Address(int(address))
