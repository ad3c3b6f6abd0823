"""Whatever an endpoint does, the caller gets an answer of the chain or one typed, one-line error without secrets."""

from __future__ import annotations

import asyncio
import logging
import socket
import subprocess
import sys
from collections.abc import AsyncIterator

import pytest
from aiohttp import web

from tests.unit.chains.stub import RpcFault, Stub, Waits, chain_at, serve
from wallet.address import Address
from wallet.chains import transport
from wallet.chains.base import ChainAnswerError, ChainError, ChainUnreachableError, WrongChainError
from wallet.chains.transport import REST, ROUNDS

ME = Address(b"\x01" * 20)


@pytest.fixture
async def stub() -> AsyncIterator[Stub]:
    async with serve(Stub()) as stub:
        stub.answers["eth_getBalance"] = hex(7)
        yield stub


@pytest.fixture
async def spare() -> AsyncIterator[Stub]:
    async with serve(Stub()) as stub:
        stub.answers["eth_getBalance"] = hex(8)
        yield stub


@pytest.fixture
def waits() -> Waits:
    return Waits()


async def ask(*urls: str, waits: Waits | None = None, timeout: float = 5.0) -> int:  # noqa: ASYNC109 - per request
    chain = chain_at(*urls, waits=waits, timeout=timeout)
    try:
        return await chain.native_balance(ME)
    finally:
        await chain.close()


BROKEN = {
    "web page": ("<html>busy</html>", 200, "a web page"),
    "gateway": ("<html>bad gateway</html>", 502, "HTTP 502"),
    "half": ('{"jsonrpc":"2.0","id":0,"resul', 200, "not JSON"),
    "empty": ("", 200, "not JSON"),
    "list": ("[]", 200, "not JSON-RPC"),
    "no result": ('{"jsonrpc":"2.0","id":0}', 200, "not JSON-RPC"),
    "deep": ('{"a":' * 100_000, 200, "endless depth"),
    "huge number": ('{"jsonrpc":"2.0","id":0,"result":' + "9" * 10_000 + "}", 200, "not JSON"),
    "wrong shape": ('{"jsonrpc":"2.0","id":0,"result":{"a":1}}', 200, "wrong shape"),
    "number for a text": ('{"jsonrpc":"2.0","id":0,"result":7}', 200, "wrong shape"),
    "signed": ('{"jsonrpc":"2.0","id":0,"result":"0x-7"}', 200, "wrong shape"),
    "text for a number": ('{"jsonrpc":"2.0","id":0,"result":"seven"}', 200, "wrong shape"),
    "limit": ('{"jsonrpc":"2.0","id":0,"error":{"code":-32005,"message":"limit\\nexceeded"}}', 429, "no more requests"),
    "limit with 200": ('{"jsonrpc":"2.0","id":0,"error":{"code":-32005,"message":"slow\\ndown"}}', 200, "slow down"),
    "no method": ('{"jsonrpc":"2.0","id":0,"error":{"code":-32601,"message":"no"}}', 200, "cannot answer"),
    "error of no shape": ('{"jsonrpc":"2.0","id":0,"error":"go away"}', 200, "go away"),
}


@pytest.mark.parametrize("case", BROKEN)
async def test_what_is_no_answer_is_a_retryable_remote_fault(stub: Stub, case: str) -> None:
    text, status, told = BROKEN[case]
    stub.always(text, status=status)
    with pytest.raises(ChainAnswerError, match=told) as caught:
        await ask(stub.url)
    assert caught.value.retry
    assert "\n" not in str(caught.value)
    assert caught.value.hint


async def test_an_answer_without_end_is_cut_off(stub: Stub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "MAX_ANSWER", 1000)
    stub.always("x" * 1001)
    with pytest.raises(ChainAnswerError, match="more than"):
        await ask(stub.url)


async def test_silence_ends_at_the_deadline(stub: Stub) -> None:
    gone = asyncio.Event()

    async def reply(_request: web.Request) -> web.StreamResponse:
        await gone.wait()
        return web.Response()

    stub.reply = reply
    with pytest.raises(ChainUnreachableError, match=r"did not answer in 0\.05 s"):
        await ask(stub.url, timeout=0.05)
    gone.set()


async def test_a_closed_port_is_unreachable() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(ChainUnreachableError, match=f"cannot reach 127.0.0.1:{port}"):
        await ask(f"http://127.0.0.1:{port}")


@pytest.mark.parametrize("url", ["", "no url", "http://", "http://[::1", "ftp://example.test"])
async def test_what_is_no_url_is_an_error(url: str) -> None:
    with pytest.raises(ChainError):
        await ask(url)


async def test_no_endpoint_at_all_is_an_error() -> None:
    with pytest.raises(ChainUnreachableError, match="no endpoint is configured"):
        await ask()


async def test_another_chain_is_not_asked_anything(stub: Stub, waits: Waits) -> None:
    stub.answers["eth_chainId"] = hex(1)
    with pytest.raises(WrongChainError, match="serves chain 1, not 199") as caught:
        await ask(stub.url, waits=waits)
    assert not caught.value.retry
    assert stub.asked == ["eth_chainId"]
    assert waits.slept == []


async def test_the_next_endpoint_answers_for_a_broken_one(stub: Stub, spare: Stub, waits: Waits) -> None:
    stub.always("<html>")
    assert await ask(stub.url, spare.url, waits=waits) == 8
    assert waits.slept == []


async def test_a_broken_endpoint_rests_and_is_then_first_again(stub: Stub, spare: Stub, waits: Waits) -> None:
    stub.always("<html>")
    chain = chain_at(stub.url, spare.url, waits=waits)
    assert await chain.native_balance(ME) == 8
    stub.reply = None
    assert await chain.native_balance(ME) == 8, "it still rests"
    waits.now += REST
    assert await chain.native_balance(ME) == 7
    await chain.close()


async def test_reads_are_tried_a_few_times_with_growing_pauses(stub: Stub, waits: Waits) -> None:
    stub.always("<html>")
    with pytest.raises(ChainAnswerError):
        await ask(stub.url, waits=waits)
    assert stub.asked.count("eth_getBalance") == ROUNDS
    assert waits.slept == sorted(waits.slept)
    assert 0 < sum(waits.slept) < 5


async def test_a_short_wish_to_wait_is_granted(stub: Stub, waits: Waits) -> None:
    stub.always("", status=429, headers={"Retry-After": "3"})
    with pytest.raises(ChainAnswerError):
        await ask(stub.url, waits=waits)
    assert waits.slept == [3.0] * (ROUNDS - 1)


async def test_a_long_wish_to_wait_is_handed_on(stub: Stub, waits: Waits) -> None:
    stub.always("", status=429, headers={"Retry-After": "600"})
    with pytest.raises(ChainAnswerError) as caught:
        await ask(stub.url, waits=waits)
    assert caught.value.retry_after == 600
    assert waits.slept == []


@pytest.mark.parametrize("wish", ["-1", "1e9", "Wed, 21 Oct 2026 07:28:00 GMT", "9" * 400, "nan", "²"])
async def test_an_unreadable_wish_to_wait_is_none(stub: Stub, wish: str) -> None:
    stub.always("", status=429, headers={"Retry-After": wish})
    with pytest.raises(ChainAnswerError) as caught:
        await ask(stub.url)
    assert caught.value.retry_after == 0


async def test_the_chains_refusal_is_an_answer_and_ends_the_search(stub: Stub, spare: Stub) -> None:
    stub.answers["eth_getBalance"] = RpcFault("header not found")
    with pytest.raises(ChainAnswerError, match="header not found"):
        await ask(stub.url, spare.url)
    assert spare.asked == []


@pytest.mark.parametrize("failure", ["", "<html>", "refuse"])
async def test_secrets_in_urls_are_in_no_text_and_no_log(
    stub: Stub, failure: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    address = stub.url.removeprefix("http://") if failure != "refuse" else "127.0.0.1:1"
    if failure == "<html>":
        stub.always("<html>")
    url = f"http://user:s3cret@{address}/v3/s3cret?key=s3cret"
    chain = chain_at(url)
    found = await asyncio.gather(chain.native_balance(ME), return_exceptions=True)
    await chain.close()
    assert isinstance(found[0], ChainError) == bool(failure)
    assert "s3cret" not in repr(found) + str(found[0])
    assert "s3cret" not in caplog.text


def test_the_recursion_limit_of_the_process_stays() -> None:
    """A high one, which some Ethereum libraries set, lets nested JSON from anywhere overflow the C stack."""
    program = "import sys, wallet.chains.evm; print(sys.getrecursionlimit())"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert int(done.stdout) <= 1000
