"""The local API's door: one secret, one form of answer, whatever is sent."""

from __future__ import annotations

import base64
import json
import os
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession, web
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from node.http.models import AddBody, AmountBody, ConnectBody, TermsBody
from node.http.server import MIN_TOKEN, ApiServer, load_token, make_app
from node.ports.engine import EngineError, UnknownTorrentError
from node.ports.store import StoreError
from node.services.rate import TooOftenError

TOKEN = "t" * 43


async def _works(request: web.Request) -> web.Response:
    return web.json_response({"works": True})


async def _unknown(request: web.Request) -> web.Response:
    raise UnknownTorrentError("no such torrent")


async def _store(request: web.Request) -> web.Response:
    raise StoreError("the disk is full")


async def _often(request: web.Request) -> web.Response:
    raise TooOftenError("too many requests")


async def _bug(request: web.Request) -> web.Response:
    raise ZeroDivisionError("a secret detail")


@pytest.fixture
async def url(tmp_path: Path) -> AsyncIterator[str]:
    app = make_app(TOKEN)
    handlers = {"/works": _works, "/unknown": _unknown, "/store": _store, "/often": _often, "/bug": _bug}
    app.add_routes([web.get(path, handler) for path, handler in handlers.items()])
    server = ApiServer(app, host="127.0.0.1", port=0, api_file=tmp_path / "api.json")
    await server.start()
    assert json.loads((tmp_path / "api.json").read_text()) == {"url": server.url, "pid": os.getpid()}
    try:
        yield server.url
    finally:
        await server.close()
        assert not (tmp_path / "api.json").exists()


async def ask(url: str, path: str, authorization: bytes = b"Bearer " + TOKEN.encode()) -> tuple[int, Any]:
    """A request with these bytes as its header; a proper client would not send all of them."""
    host, port = url.removeprefix("http://").split(":")
    async with ClientSession() as session:
        try:
            async with session.get(url + path, headers={"Authorization": authorization.decode("latin-1")}) as answer:
                return answer.status, await answer.json()
        except ValueError:
            pytest.fail(f"{host}:{port} did not answer in JSON")


@pytest.mark.parametrize(
    "authorization",
    [b"", b"Bearer", b"Bearer ", TOKEN[:-1].encode(), b"Bearer " + b"t" * 44, b"Bearer \xff\xfe", b"Basic dDp0"],
)
async def test_without_the_token_nothing_is_answered(url: str, authorization: bytes) -> None:
    for path in ("/works", "/bug", "/nowhere"):
        status, body = await ask(url, path, authorization)
        assert (status, set(body)) == (401, {"error", "hint"})


@pytest.mark.parametrize(
    ("path", "status"), [("/unknown", 404), ("/store", 500), ("/often", 429), ("/bug", 500), ("/nowhere", 404)]
)
async def test_every_fault_is_one_form_of_answer(url: str, path: str, status: int) -> None:
    found, body = await ask(url, path)
    assert (found, set(body)) == (status, {"error", "hint"})
    assert "secret detail" not in body["error"]
    assert await ask(url, "/works") == (200, {"works": True})


def test_the_token_is_made_once_for_the_owner_alone(tmp_path: Path) -> None:
    token = load_token(tmp_path / "api-token")
    assert len(token) >= MIN_TOKEN
    assert (tmp_path / "api-token").stat().st_mode & 0o777 == 0o600
    assert load_token(tmp_path / "api-token") == token
    assert [path.name for path in tmp_path.iterdir()] == ["api-token"]


@pytest.mark.parametrize("content", [b"", b"\n", b"short", b"\xff" * 50])
def test_a_damaged_token_is_made_anew_rather_than_letting_everybody_in(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "api-token").write_bytes(content)
    (tmp_path / "api-token").chmod(0o644)
    token = load_token(tmp_path / "api-token")
    assert len(token) >= MIN_TOKEN
    assert token.isascii()
    assert (tmp_path / "api-token").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("host", ["127.0.0.1", "no-such-host.invalid", "256.1.1.1", "192.0.2.1"])
async def test_an_address_that_cannot_be_used_is_one_line(tmp_path: Path, host: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        server = ApiServer(make_app(TOKEN), host=host, port=port, api_file=tmp_path / "api.json")
        with pytest.raises(EngineError) as found:
            await server.start()
    text = str(found.value)
    assert f"{host}:{port}" in text
    assert "\n" not in text
    assert "Unknown error" not in text
    assert ("another node" in text) == (host == "127.0.0.1")
    assert not (tmp_path / "api.json").exists()


@given(st.integers(0, 2**256 - 1))
def test_an_amount_goes_through_as_digits(amount: int) -> None:
    body = AmountBody.model_validate({"amount": str(amount)})
    assert body.amount == amount
    assert body.model_dump() == {"rail": None, "amount": str(amount)}


@pytest.mark.parametrize(
    "amount", [1.0, "1.0", True, -1, "-1", "1e3", " 1", "1_0", "", None, "²", "٣", 2**256, str(2**256), "9" * 5000, []]
)
def test_what_is_no_amount_is_refused(amount: object) -> None:
    with pytest.raises(ValidationError):
        AmountBody.model_validate({"amount": amount})


@pytest.mark.parametrize(
    "field",
    [
        {"save_path": "relative"},
        {"save_path": "/with\0zero"},
        {"save_path": "/half\ud800"},
        {"magnet": "magnet:\udfff"},
        {"peers": [["a name", 5]]},
        {"peers": [["192.0.2.1", 0]]},
        {"peers": [["192.0.2.1", 65536]]},
        {"peers": [["192.0.2.1", True]]},
        {"peers": [["192.0.2.1", 5]] * 1001},
        {"max_price": 0.5},
        {"surprise": 1},
    ],
)
def test_what_no_engine_could_take_never_reaches_it(field: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        AddBody.model_validate({"torrent": base64.b64encode(b"x").decode(), **field})


def test_what_is_right_is_taken() -> None:
    body = AddBody.model_validate({"magnet": "magnet:?dn=ü", "peers": [["::1", 5]], "save_path": "/x", "budget": "7"})
    assert (body.peers, body.budget) == ([("::1", 5)], 7)
    assert ConnectBody.model_validate({"host": "192.0.2.1", "port": 65535}).port == 65535
    assert TermsBody.model_validate({}).budget is None
