"""Whatever a TRON server does, the caller gets an answer of the chain or one typed, one-line error without secrets."""

from __future__ import annotations

import asyncio
import logging
import subprocess
import sys
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web

from tests.unit.chains.stub import Waits, serve
from tests.unit.chains.tron_stub import CHAIN_ID, HEAD, ME, YOU, TronStub, block, signed, tron_at
from wallet.chains import transport
from wallet.chains.base import ChainAnswerError, ChainError, ChainUnreachableError, WrongChainError
from wallet.chains.transport import ROUNDS

SECRET = "5ec7e7-api-key"


@pytest.fixture
async def stub() -> AsyncIterator[TronStub]:
    async with serve(TronStub()) as stub:
        stub.answers["wallet/getaccount"] = {"balance": 7}
        yield stub


@pytest.fixture
async def spare() -> AsyncIterator[TronStub]:
    async with serve(TronStub()) as stub:
        stub.answers["wallet/getaccount"] = {"balance": 8}
        yield stub


async def ask(*urls: str, waits: Waits | None = None, api_key: str = "") -> int:
    chain = tron_at(*urls, waits=waits, api_key=api_key)
    try:
        return await chain.native_balance(ME)
    finally:
        await chain.close()


BROKEN = {
    "web page": ("<html>busy</html>", 200, "a web page"),
    "gateway": ("<html>bad gateway</html>", 502, "HTTP 502"),
    "half": ('{"balance": 1', 200, "not JSON"),
    "empty": ("", 200, "not JSON"),
    "list": ("[]", 200, "wrong shape"),
    "deep": ('{"a":' * 100_000, 200, "endless depth"),
    "huge number": ('{"balance":' + "9" * 10_000 + "}", 200, "not JSON"),
    "large number": ('{"balance":9223372036854775808}', 200, "wrong shape"),
    "negative": ('{"balance":-1}', 200, "wrong shape"),
    "fraction": ('{"balance":1.5}', 200, "wrong shape"),
    "not a number": ('{"balance":NaN}', 200, "wrong shape"),
    "text": ('{"balance":"7"}', 200, "wrong shape"),
    "truth": ('{"balance":true}', 200, "wrong shape"),
    "Java's trouble": (
        '{"Error":"class java.lang.NullPointerException : null\\nat"}',
        200,
        "cannot answer: class java",
    ),
    "quota": ('{"Error":"Exceed the user daily usage"}', 403, "HTTP 403: Exceed the user daily usage"),
    "limit": ("{}", 429, "no more requests"),
    "moved": ("", 302, "HTTP 302"),
}


@pytest.mark.parametrize("case", BROKEN)
async def test_what_is_no_answer_is_a_retryable_remote_fault(stub: TronStub, case: str) -> None:
    said, status, told = BROKEN[case]
    stub.always(said, status=status)
    with pytest.raises(ChainAnswerError, match=told) as caught:
        await ask(stub.url)
    assert caught.value.retry
    assert "\n" not in str(caught.value)
    assert stub.asked.count("wallet/getaccount") == ROUNDS


async def test_an_answer_without_end_is_cut_off(stub: TronStub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "MAX_ANSWER", 1000)
    stub.always("x" * 1001)
    with pytest.raises(ChainAnswerError, match="more than"):
        await ask(stub.url)


async def test_a_long_wish_to_wait_is_handed_on(stub: TronStub) -> None:
    stub.always("", status=429, headers={"Retry-After": "600"})
    with pytest.raises(ChainAnswerError) as caught:
        await ask(stub.url)
    assert caught.value.retry_after == 600
    assert stub.asked.count("wallet/getaccount") == 1


async def test_the_next_server_answers_for_a_broken_one(stub: TronStub, spare: TronStub) -> None:
    waits = Waits()
    stub.always("<html>")
    assert await ask(stub.url, spare.url, waits=waits) == 8
    assert waits.slept == []


async def test_a_base_url_may_have_a_path_and_a_query(stub: TronStub) -> None:
    stub.answers = {f"v9/key/{path}": answer for path, answer in stub.answers.items()}
    assert await ask(f"{stub.url}/v9/key/?token=1") == 7


@pytest.mark.parametrize("url", ["", "no url", "http://", "http://[::1", "ftp://example.test"])
async def test_what_is_no_url_is_an_error(url: str) -> None:
    with pytest.raises(ChainUnreachableError):
        await ask(url)


# --- the chain ------------------------------------------------------------------------------------------------------


async def test_another_chain_is_not_asked_anything(stub: TronStub) -> None:
    stub.answers["wallet/getblockbynum"] = block(0) | {"blockID": (bytes(31) + b"\x01").hex()}
    with pytest.raises(WrongChainError, match="serves chain 0x1, not 0x2b6653dc") as caught:
        await ask(stub.url)
    assert not caught.value.retry
    assert stub.asked == ["wallet/getblockbynum"]


async def test_only_the_last_four_bytes_of_the_genesis_block_count(stub: TronStub) -> None:
    """Mainnet's genesis id is 32 bytes; cheques are bound to four of them."""
    whole = bytes(8) + b"\x1e" * 20 + CHAIN_ID.to_bytes(4, "big")
    stub.answers["wallet/getblockbynum"] = block(0) | {"blockID": whole.hex()}
    assert await ask(stub.url) == 7


GENESES: list[Any] = [{}, {"blockID": "00" * 31}, {"blockID": "zz" * 32}, [], 7, block(1)["block_header"]]


@pytest.mark.parametrize("genesis", GENESES)
async def test_a_server_that_does_not_tell_its_chain_is_not_asked(stub: TronStub, genesis: Any) -> None:
    stub.answers["wallet/getblockbynum"] = genesis
    with pytest.raises(ChainAnswerError):
        await ask(stub.url)
    assert set(stub.asked) == {"wallet/getblockbynum"}


async def test_a_block_with_another_blocks_id_is_not_believed(stub: TronStub) -> None:
    stub.answers["wallet/getblock"] = block(HEAD) | {"blockID": block(HEAD + 1)["blockID"]}
    chain = tron_at(stub.url)
    with pytest.raises(ChainAnswerError, match="the head in a wrong shape"):
        await chain.head()
    await chain.close()


# --- the API key ----------------------------------------------------------------------------------------------------


async def test_every_request_carries_the_api_key_and_none_without_one(stub: TronStub) -> None:
    await ask(stub.url, api_key=SECRET)
    assert set(stub.keys) == {SECRET}
    stub.keys.clear()
    await ask(stub.url)
    assert set(stub.keys) == {None}, "a library's built-in keys are never used"


ECHOES = {
    "error": ({"Error": f"ApiKey {SECRET} not exists\n"}, 200),
    "status": ({"Error": f"ApiKey {SECRET} not exists"}, 401),
    "hex": ({"code": "SIGERROR", "message": f"bad {SECRET}".encode().hex()}, 200),
    "text": ({"code": f"ODD {SECRET}", "message": f"bad {SECRET}"}, 200),
}


@pytest.mark.parametrize("case", [*ECHOES, "web page", "refused"])
async def test_the_api_key_is_in_no_text_and_no_log(
    stub: TronStub, case: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    url = stub.url
    if case in ECHOES:
        said, status = ECHOES[case]
        stub.answers["wallet/createtransaction"] = lambda _asked: web.json_response(said, status=status)
        stub.answers["wallet/broadcasthex"] = said
    elif case == "web page":
        stub.always(f"<html>{SECRET}")
    else:
        url = "http://127.0.0.1:1"
    chain = tron_at(url, api_key=SECRET)
    found = await asyncio.gather(
        chain.estimate(chain.transfer_native(YOU, 1), ME),
        chain.broadcast(signed()),
        return_exceptions=True,
    )
    await chain.close()
    assert any(isinstance(each, ChainError) for each in found)
    texts = [repr(found), *map(str, found), repr(chain), repr(chain._settings), caplog.text]
    assert all(SECRET not in each and SECRET.encode().hex() not in each for each in texts)


def test_the_recursion_limit_of_the_process_stays() -> None:
    program = "import sys, wallet.chains.tron; print(sys.getrecursionlimit())"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert int(done.stdout) <= 1000
