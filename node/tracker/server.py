"""The tracker over HTTP: `/announce` (BEP 3, 7, 23) and `/scrape` (BEP 48)."""

from __future__ import annotations

import ipaddress
import os
import random
import time
from typing import Any
from urllib.parse import unquote_to_bytes

from aiohttp import web

from node.bencode import encode
from node.tracker.swarm import INTERVAL, MIN_INTERVAL, Announce, Counts, Swarms, TrackerError, compact

MAX_QUERY = 8 * 1024


class TrackerServer:
    """Serves one `Swarms`. Port 0 takes any free one; `url` is the announce URL once started."""

    def __init__(self, host: str = "127.0.0.1", port: int = 0, allowed: frozenset[bytes] | None = None) -> None:
        self._host = host
        self._port = port
        self._swarms = Swarms(allowed, random.SystemRandom().shuffle)
        self._runner: web.AppRunner | None = None
        self.url = ""

    async def start(self) -> None:
        """Raises `OSError` when the port is in use."""
        app = web.Application()
        app.add_routes([web.get("/announce", self._announce), web.get("/scrape", self._scrape)])
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, self._host, self._port).start()
        except OSError as error:
            await self.close()
            reason = os.strerror(error.errno or 0)
            raise OSError(error.errno, f"cannot listen on {self._host}:{self._port}: {reason}") from None
        host = f"[{self._host}]" if ":" in self._host else self._host
        self.url = f"http://{host}:{self._runner.addresses[0][1]}/announce"

    async def close(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def _announce(self, request: web.Request) -> web.Response:
        try:
            query = _query(request)
            announce = Announce(
                info_hash=query.get("info_hash", [b""])[0],
                peer_id=query.get("peer_id", [b""])[0],
                host=_host(request, query),
                port=_number(query, "port", 0),
                left=_number(query, "left", 0),
                event=query.get("event", [b""])[0].decode("ascii", "replace"),
                numwant=_number(query, "numwant", 50),
            )
            peers, counts = self._swarms.announce(announce, time.monotonic())
        except TrackerError as error:
            return _answer({"failure reason": str(error)})
        reply: dict[str, Any] = {
            "interval": INTERVAL,
            "min interval": MIN_INTERVAL,
            "complete": counts.complete,
            "incomplete": counts.incomplete,
        }
        if query.get("compact", [b"1"])[0] == b"0":
            with_id = query.get("no_peer_id", [b"0"])[0] != b"1"
            reply["peers"] = [
                {"ip": p.host, "port": p.port, **({"peer id": p.peer_id} if with_id else {})} for p in peers
            ]
        else:
            v4, v6 = compact(peers)
            reply["peers"] = v4
            if v6:
                reply["peers6"] = v6
        return _answer(reply)

    async def _scrape(self, request: web.Request) -> web.Response:
        try:
            hashes = _query(request).get("info_hash", [])
        except TrackerError as error:
            return _answer({"failure reason": str(error)})
        found = self._swarms.scrape(hashes, time.monotonic())
        return _answer({"files": {info_hash: _counts(counts) for info_hash, counts in found.items()}})


def _counts(counts: Counts) -> dict[str, int]:
    return {"complete": counts.complete, "incomplete": counts.incomplete, "downloaded": counts.downloaded}


def _answer(body: dict[str, Any]) -> web.Response:
    return web.Response(body=encode(body), content_type="text/plain")


def _query(request: web.Request) -> dict[str, list[bytes]]:
    """The query as bytes: info-hashes are binary, which ordinary decoding would damage."""
    raw = request.rel_url.raw_query_string
    if len(raw) > MAX_QUERY:
        raise TrackerError("the request is too long")
    result: dict[str, list[bytes]] = {}
    for part in raw.split("&"):
        name, _, value = part.partition("=")
        result.setdefault(name, []).append(unquote_to_bytes(value.replace("+", " ")))
    return result


def _number(query: dict[str, list[bytes]], name: str, default: int) -> int:
    text = query.get(name, [b""])[0]
    if not text:
        return default
    if not text.isdigit() or len(text) > 18:
        raise TrackerError(f"{name} is not a number")
    return int(text)


def _host(request: web.Request, query: dict[str, list[bytes]]) -> str:
    """The connection's address. `ip` counts only from this machine itself: anybody else could point it at a victim."""
    source = ipaddress.ip_address(request.remote or "127.0.0.1")
    given = query.get("ip", [b""])[0]
    if given and source.is_loopback:
        try:
            return str(ipaddress.ip_address(given.decode("ascii", "replace")))
        except ValueError:
            raise TrackerError("ip is not an address") from None
    mapped = source.ipv4_mapped if isinstance(source, ipaddress.IPv6Address) else None
    return str(mapped or source)
