"""Bodies in and models out, for all handlers."""

from __future__ import annotations

from typing import Any, TypeVar

from aiohttp import web
from pydantic import BaseModel

from wallet.errors import WalletError

B = TypeVar("B", bound=BaseModel)


def answer(model: BaseModel) -> web.Response:
    """A model as JSON."""
    return web.json_response(model.model_dump())


async def read_body(request: web.Request, model: type[B]) -> B:
    """The body as a model; none at all is an empty object. Raises `ValidationError`, `HTTPBadRequest`."""
    return model.model_validate(await _json(request))


def number(request: web.Request, name: str, default: int) -> int:
    """A parameter of the query. Raises `WalletError`."""
    text = request.query.get(name, str(default))
    if not text.isascii() or not text.isdecimal() or len(text) > 18:
        raise WalletError(f"{name}: expected a whole number")
    return int(text)


async def _json(request: web.Request) -> dict[str, Any]:
    try:
        body = await request.json() if request.can_read_body else {}
    except (ValueError, RecursionError):  # also a number of too many digits, and too many brackets
        raise web.HTTPBadRequest(text="the body is not JSON") from None
    if not isinstance(body, dict):
        raise web.HTTPBadRequest(text="the body is not a JSON object")
    return body
