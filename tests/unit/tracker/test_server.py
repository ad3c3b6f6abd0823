"""The tracker's face: what clients send and read, and what strangers cannot do."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import quote, urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from node.bencode import decode
from node.tracker.server import MAX_LINE, TrackerServer
from node.tracker.swarm import Limits

HASH = bytes(range(236, 256))
ME = f"info_hash={quote(HASH, safe='')}&peer_id={'a' * 20}"
PARAMETERS = ("info_hash", "peer_id", "port", "left", "event", "numwant", "compact", "no_peer_id", "ip")
DEADLINE = 10


class Client:
    """Raw HTTP, so that the query arrives as it is written here."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self.host, self.port = parts.hostname, parts.port

    async def raw(self, target: bytes) -> tuple[int, bytes]:
        """Status and body."""
        async with asyncio.timeout(DEADLINE):
            reader, writer = await asyncio.open_connection(self.host, self.port)
            try:
                writer.write(b"GET " + target + b" HTTP/1.1\r\nHost: tracker\r\nConnection: close\r\n\r\n")
                head, _, body = (await reader.read(-1)).partition(b"\r\n\r\n")
                return int(head.split()[1]), body
            finally:
                writer.close()
                await writer.wait_closed()

    async def ask(self, query: str, path: str = "announce") -> dict[bytes, Any]:
        status, body = await self.raw(f"/{path}?{query}".encode())
        assert status == 200
        answer = decode(body)
        assert isinstance(answer, dict)
        return answer


@asynccontextmanager
async def tracker(
    host: str = "127.0.0.1", allowed: frozenset[bytes] | None = None, limits: Limits | None = None
) -> AsyncIterator[Client]:
    server = TrackerServer(host, 0, allowed, limits)
    await server.start()
    try:
        yield Client(server.url)
    finally:
        await server.close()


async def test_a_peer_finds_another_in_compact_and_in_plain_form() -> None:
    async with tracker() as client:
        first = await client.ask(f"{ME}&port=1000&left=5")
        assert first == {b"complete": 0, b"incomplete": 1, b"interval": 60, b"min interval": 5, b"peers": b""}
        found = await client.ask(f"{ME}&port=2000&left=0&ip=127.0.0.9")
        assert found[b"peers"] == bytes([127, 0, 0, 1, 0x03, 0xE8])
        plain = await client.ask(f"{ME}&port=1000&left=5&compact=0")
        assert plain[b"peers"] == [{b"ip": b"127.0.0.9", b"peer id": b"a" * 20, b"port": 2000}]
        short = await client.ask(f"{ME}&port=1000&left=5&compact=0&no_peer_id=1")
        assert short[b"peers"] == [{b"ip": b"127.0.0.9", b"port": 2000}]


async def test_a_v6_peer_comes_under_peers6_and_without_its_zone() -> None:
    async with tracker() as client:
        await client.ask(f"{ME}&port=7&left=1&ip=fe80::1%25eth0")
        assert (await client.ask(f"{ME}&port=8&left=1"))[b"peers6"] == bytes.fromhex("fe80" + "00" * 13 + "01" + "0007")
        assert (await client.ask(f"{ME}&port=8&left=1&compact=0"))[b"peers"][0][b"ip"] == b"fe80::1"


async def test_a_v4_peer_of_a_dual_stack_tracker_is_a_v4_peer() -> None:
    async with tracker() as client:
        await client.ask(f"{ME}&port=7&left=1&ip=::ffff:192.0.2.1")
        assert (await client.ask(f"{ME}&port=8&left=1"))[b"peers"] == bytes([192, 0, 2, 1, 0, 7])


async def test_a_stranger_cannot_name_another_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("aiohttp.web.BaseRequest.remote", "198.51.100.7")
    async with tracker() as client:
        await client.ask(f"{ME}&port=7&left=1&ip=192.0.2.1")
        assert (await client.ask(f"{ME}&port=8&left=1"))[b"peers"] == bytes([198, 51, 100, 7, 0, 7])


async def test_scrape_tells_the_counts_of_known_swarms() -> None:
    other = quote(bytes(20), safe="")
    async with tracker() as client:
        await client.ask(f"{ME}&port=1&left=0&event=completed")
        await client.ask(f"{ME}&port=2&left=9")
        found = await client.ask(f"info_hash={other}&info_hash={quote(HASH, safe='')}", "scrape")
        assert found == {b"files": {HASH: {b"complete": 1, b"downloaded": 1, b"incomplete": 1}}}
        assert await client.ask("", "scrape") == {b"files": {}}


@pytest.mark.parametrize(
    ("query", "reason"),
    [
        ("", b"info_hash must have 20 bytes"),
        ("port=1", b"info_hash must have 20 bytes"),
        (f"info_hash={quote(HASH, safe='')}&port=1", b"peer_id must have 20 bytes"),
        (ME, b"port must be 1 to 65535"),
        (f"{ME}&port=0", b"port must be 1 to 65535"),
        (f"{ME}&port=x", b"port is not a number"),
        (f"{ME}&port=-", b"port is not a number"),
        (f"{ME}&port=%C2%B2", b"port is not a number"),
        (f"{ME}&port={'9' * 21}", b"port is not a number"),
        (f"{ME}&port=1&event=dance", b"unknown event"),
        (f"{ME}&port=1&ip=example.org", b"ip is not an address"),
    ],
)
async def test_a_wrong_announce_gets_a_reason(query: str, reason: bytes) -> None:
    async with tracker() as client:
        assert await client.ask(query) == {b"failure reason": reason}


@pytest.mark.parametrize("left", ["&left=-1", f"&left={2**64 - 1}", ""])
async def test_a_client_that_does_not_know_its_rest_is_a_leecher(left: str) -> None:
    async with tracker() as client:
        assert (await client.ask(f"{ME}&port=1&numwant=-1{left}"))[b"incomplete"] == 1


async def test_a_private_tracker_serves_only_what_it_was_told() -> None:
    async with tracker(allowed=frozenset([bytes(20)])) as client:
        assert await client.ask(f"{ME}&port=1") == {b"failure reason": b"this torrent is not served here"}


async def test_the_interval_is_the_one_that_was_set() -> None:
    async with tracker(limits=Limits(interval=7, min_interval=3)) as client:
        answer = await client.ask(f"{ME}&port=1")
        assert (answer[b"interval"], answer[b"min interval"]) == (7, 3)


async def test_malformed_requests_are_refused_without_a_word_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        async with tracker() as client:
            for target in (b"/announce?" + b"a" * MAX_LINE, b"/announce?info_hash=\xff\xfe", b"http://[x/announce"):
                assert (await client.raw(target))[0] == 400
            assert (await client.raw(b"/elsewhere"))[0] == 404
    assert not caplog.records


def test_no_query_gets_anything_but_an_answer() -> None:
    parameter = st.sampled_from(PARAMETERS)
    value = st.sampled_from([quote(HASH, safe=""), "a" * 20, "1", "-1", "0", "::1", "127.0.0.1", "started"])
    sensible = st.lists(st.tuples(parameter, value).map("=".join), max_size=12).map("&".join)
    printable = st.text(st.characters(min_codepoint=33, max_codepoint=126, exclude_characters="#"), max_size=60)

    with asyncio.Runner() as runner:
        opened = tracker()
        client = runner.run(opened.__aenter__())

        @settings(max_examples=150, deadline=None)
        @given(st.sampled_from(["announce", "scrape"]), sensible | printable)
        def check(path: str, query: str) -> None:
            runner.run(client.ask(query, path))

        try:
            check()
        finally:
            runner.run(opened.__aexit__(None, None, None))


async def test_a_v6_tracker_has_a_v6_url() -> None:
    try:
        async with tracker("::1") as client:
            await client.ask(f"{ME}&port=7&left=1")
            assert (await client.ask(f"{ME}&port=8&left=1"))[b"peers6"] == bytes(15) + b"\x01\x00\x07"
    except OSError as error:
        pytest.skip(f"no IPv6 here: {error}")


async def test_an_address_that_cannot_be_used_is_one_line() -> None:
    async with tracker() as client:
        for host, port, words in (("127.0.0.1", client.port, "already in use"), ("192.0.2.1", 0, "Cannot assign")):
            server = TrackerServer(host, port or 0)
            with pytest.raises(OSError, match=rf"cannot listen on {host}:\d+: .*{words}"):
                await server.start()
            await server.close()
