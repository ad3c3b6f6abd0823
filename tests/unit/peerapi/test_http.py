"""Asking and answering over real sockets, also when the other side does not play by the rules."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from pydantic import BaseModel, ConfigDict

from node.http.peers import MAX_REQUEST, PeerServer, RefusalError, parse
from node.peerapi.client import MAX_ANSWER, SIGNATURE, HttpPeerApi
from node.peerapi.envelope import Request, open_request, seal_answer, seal_request
from node.ports.peerapi import Peer, PeerApiError, PeerAwayError, PeerBrokenError, PeerRefusedError
from wallet.address import Address
from wallet.keys import PrivateKey

RENTER, HOST, OTHER = (PrivateKey(bytes([n]) * 32) for n in (1, 2, 3))


class Clock:
    def __init__(self) -> None:
        self.time = 1_800_000_000.0

    def now(self) -> float:
        return self.time

    def wall(self) -> int:
        return int(self.time)


class Sum(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid")
    a: int
    b: int


async def add(sender: Address, body: Mapping[str, Any]) -> Mapping[str, Any]:
    numbers = parse(Sum, body)
    if numbers.b == 0:
        raise RefusalError("nothing", "there is nothing to add", "add more")
    if numbers.b < 0:
        raise ZeroDivisionError("secret of this machine")
    return {"sum": numbers.a + numbers.b, "for": str(sender)}


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def host(clock: Clock) -> AsyncIterator[Peer]:
    async with TestServer(PeerServer({"/v1/add": add}, HOST, clock).application()) as server:
        yield Peer(HOST.address, str(server.make_url("")).rstrip("/"))


@pytest.fixture
async def renter(clock: Clock) -> AsyncIterator[HttpPeerApi]:
    numbers = iter(range(1 << 20))
    api = HttpPeerApi(RENTER, clock, nonce=lambda size: next(numbers).to_bytes(size), local=True)
    yield api
    await api.close()


async def test_a_question_is_answered_to_whom_asked(host: Peer, renter: HttpPeerApi) -> None:
    assert await renter.ask(host, "/v1/add", {"a": 1, "b": 2}) == {"sum": 3, "for": str(RENTER.address)}


@pytest.mark.parametrize(
    ("body", "code", "text"),
    [
        ({"a": 1, "b": 0}, "nothing", "nothing to add"),
        ({"a": 1}, "malformed", "b: Field required"),
        ({"a": 1, "b": "2"}, "malformed", "b: Input should be a valid integer"),
        ({"a": 1, "b": -1}, "internal", "fault of its own"),
    ],
)
async def test_a_no_says_why_and_nothing_of_the_machine(
    host: Peer, renter: HttpPeerApi, body: dict[str, Any], code: str, text: str
) -> None:
    with pytest.raises(PeerRefusedError, match=text) as error:
        await renter.ask(host, "/v1/add", body)
    assert error.value.code == code
    assert "secret" not in str(error.value)


async def test_who_asks_too_often_waits(host: Peer, renter: HttpPeerApi, clock: Clock) -> None:
    async def ask_for_ever() -> None:
        for _ in range(1000):
            await renter.ask(host, "/v1/add", {"a": 1, "b": 2})

    with pytest.raises(PeerRefusedError, match="too many") as error:
        await ask_for_ever()
    assert error.value.code == "busy"
    clock.time += 10
    await renter.ask(host, "/v1/add", {"a": 1, "b": 2})


async def post(host: Peer, body: bytes, header: str) -> tuple[int, dict[str, Any]]:
    """As somebody who has read the documentation, but not our client."""
    reader, writer = await asyncio.open_connection(*host.url.removeprefix("http://").split(":"))
    head = f"POST /v1/add HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: {header}\r\n"
    writer.write(head.encode() + f"Content-Length: {len(body)}\r\n\r\n".encode() + body)
    answer = await reader.read()
    writer.close()
    top, _, content = answer.partition(b"\r\n\r\n")
    return int(top.split()[1]), json.loads(content)


def signed(body: bytes, clock: Clock, *, nonce: int = 1, receiver: Address = HOST.address, age: int = 0) -> str:
    request = Request.of("POST", "/v1/add", receiver, clock.wall() - age, nonce.to_bytes(16), body)
    return seal_request(request, RENTER)


async def test_a_request_counts_once(host: Peer, clock: Clock) -> None:
    body = b'{"a":1,"b":2}'
    header = signed(body, clock)
    assert (await post(host, body, header))[0] == 200
    status, answer = await post(host, body, header)
    assert (status, answer["code"]) == (401, "replayed")


@pytest.mark.parametrize("case", ["nothing", "other body", "other node", "old", "too long", "no object"])
async def test_a_request_that_does_not_hold_is_refused(host: Peer, clock: Clock, case: str) -> None:
    body = b'{"a":1,"b":2}'
    sent, header, expected = {
        "nothing": (body, "", (401, "unsigned")),
        "other body": (b'{"a":1,"b":9}', signed(body, clock), (401, "signature")),
        "other node": (body, signed(body, clock, receiver=OTHER.address), (401, "signature")),
        "old": (body, signed(body, clock, age=61), (401, "expired")),
        "too long": (b" " * (MAX_REQUEST + 1), "", (413, "too-long")),
        "no object": (b"[" * 100_000, signed(b"[" * 100_000, clock), (400, "malformed")),
    }[case]
    status, answer = await post(host, sent, header)
    assert (status, answer["code"]) == expected
    assert answer["error"]


Misbehaviour = Callable[[web.Request], Awaitable[web.StreamResponse]]


async def _unsigned(request: web.Request) -> web.Response:
    return web.json_response({"sum": 4})


async def _by_another(request: web.Request) -> web.Response:
    body = await request.read()
    _, seen = open_request(request.headers["Authorization"], "POST", request.raw_path, HOST.address, body)
    return web.Response(body=b"{}", headers={SIGNATURE: seal_answer(seen, 200, b"{}", OTHER)})


async def _no_object(request: web.Request) -> web.Response:
    body = await request.read()
    _, seen = open_request(request.headers["Authorization"], "POST", request.raw_path, HOST.address, body)
    return web.Response(body=b"[]", headers={SIGNATURE: seal_answer(seen, 200, b"[]", HOST)})


async def _endless(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse()
    await response.prepare(request)
    while True:
        await response.write(b" " * (MAX_ANSWER // 8))


async def _redirect(request: web.Request) -> web.Response:
    raise web.HTTPTemporaryRedirect("http://127.0.0.1:1/")


async def _silent(request: web.Request) -> web.Response:
    await asyncio.Event().wait()
    raise AssertionError


async def _busy(request: web.Request) -> web.Response:
    return web.Response(status=503)


@pytest.mark.parametrize(
    ("misbehaviour", "kind", "text"),
    [
        (_unsigned, PeerBrokenError, "not signed"),
        (_by_another, PeerBrokenError, "not signed by"),
        (_no_object, PeerBrokenError, "not a JSON object"),
        (_endless, PeerAwayError, "more than"),
        (_redirect, PeerBrokenError, "not signed"),
        (_silent, PeerAwayError, "has not answered"),
        (_busy, PeerAwayError, "no more requests"),
    ],
)
async def test_an_answer_that_is_none_is_the_other_nodes_fault(
    renter: HttpPeerApi, misbehaviour: Misbehaviour, kind: type[PeerApiError], text: str
) -> None:
    app = web.Application()
    app.router.add_post("/v1/add", misbehaviour)
    async with TestServer(app) as server:
        peer = Peer(HOST.address, str(server.make_url("")))
        with pytest.raises(kind, match=text):
            await renter.ask(peer, "/v1/add", {"a": 1, "b": 2}, deadline=0.5 if misbehaviour is _silent else 10)


async def test_a_node_that_is_away_is_away(renter: HttpPeerApi) -> None:
    server = TestServer(web.Application())
    await server.start_server()
    url = str(server.make_url(""))
    await server.close()
    with pytest.raises(PeerAwayError, match="cannot be reached"):
        await renter.ask(Peer(HOST.address, url), "/v1/add", {})


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:7117", "http://[::1]:1", "http://[::ffff:127.0.0.1]:1", "http://10.0.0.1",
        "http://169.254.169.254", "http://[64:ff9b::7f00:1]", "http://[fe80::1]", "http://0.0.0.0:1",
    ],
)  # fmt: skip
async def test_an_announcement_cannot_make_us_knock_on_our_own_services(clock: Clock, url: str) -> None:
    api = HttpPeerApi(RENTER, clock, nonce=bytes)
    with pytest.raises(PeerApiError, match="not reachable from the Internet"):
        await api.ask(Peer(HOST.address, url), "/v1/add", {})
    await api.close()


@pytest.mark.parametrize("name", ["localhost", "127.1", "0x7f.1", "2130706433"])
async def test_a_name_of_this_machine_leads_nowhere(clock: Clock, name: str) -> None:
    knocks: list[str] = []

    async def hear(request: web.Request) -> web.Response:
        knocks.append(request.path)
        return web.Response()

    app = web.Application()
    app.router.add_post("/v1/add", hear)
    api = HttpPeerApi(RENTER, clock, nonce=bytes)
    async with TestServer(app, host="127.0.0.1") as server:
        with pytest.raises(PeerAwayError, match="cannot be reached"):
            await api.ask(Peer(HOST.address, f"http://{name}:{server.port}"), "/v1/add", {})
    await api.close()
    assert not knocks


@pytest.mark.parametrize(
    "url",
    ["", "ftp://example.org", "http://user:secret@example.org", "http://", "http://[", "http://x/?q=1", "x" * 500],
)
async def test_an_announcement_that_is_no_url_is_refused(renter: HttpPeerApi, url: str) -> None:
    with pytest.raises(PeerBrokenError, match="no URL of a node"):
        await renter.ask(Peer(HOST.address, url), "/v1/add", {})
