"""Bodies in and models out, for all handlers."""

from __future__ import annotations

from typing import Any, TypeVar

from aiohttp import web
from pydantic import BaseModel

B = TypeVar("B", bound=BaseModel)


def answer(model: BaseModel) -> web.Response:
    """A model as JSON."""
    return web.json_response(model.model_dump())


async def read_body(request: web.Request, model: type[B]) -> B:
    """The body as a model; none at all is an empty object. Raises `ValidationError`, `HTTPBadRequest`."""
    return model.model_validate(await _json(request))


async def _json(request: web.Request) -> dict[str, Any]:
    try:
        body = await request.json() if request.can_read_body else {}
    except (ValueError, RecursionError):  # also a number of too many digits, and too many brackets
        raise web.HTTPBadRequest(text="the body is not JSON") from None
    if not isinstance(body, dict):
        raise web.HTTPBadRequest(text="the body is not a JSON object")
    return body
