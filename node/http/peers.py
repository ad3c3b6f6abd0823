"""The server of the API between nodes: it takes signed requests from strangers.

Every answer is a JSON object signed by this node, faults too: `{"code": word, "error": text, "hint": text}`. What costs
least is checked first: length, rate of the address, signature, age, rate of the sender. A handler hears who is asking
and a JSON object, and returns one; what it does with it is its own business.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, TypeVar

from aiohttp import web
from pydantic import BaseModel, ValidationError

from node.peerapi.client import SIGNATURE
from node.peerapi.envelope import EnvelopeError, Gate, Request, open_request, seal_answer
from node.ports.clock import Clock
from node.ports.engine import ListenError
from node.services.rate import Rate, TooOftenError
from node.speed.newcomers import prefix_of
from wallet import jsontext
from wallet.address import Address
from wallet.keys import PrivateKey

log = logging.getLogger(__name__)

MAX_REQUEST = 1 << 20
MAX_ADDRESS_BURST, ADDRESS_EVERY = 240, 0.25
"""Requests that one address prefix may make at once, and seconds per request after that."""
MAX_SENDER_BURST, SENDER_EVERY = 120, 0.5

B = TypeVar("B", bound=BaseModel)

Handler = Callable[[Address, Mapping[str, Any]], Awaitable[Mapping[str, Any]]]


class RefusalError(Exception):
    """A handler says no. `code`: a word of the protocol."""

    def __init__(self, code: str, text: str, hint: str = "") -> None:
        super().__init__(text)
        self.code = code
        self.hint = hint


def parse(model: type[B], body: Mapping[str, Any]) -> B:
    """The body as a model, strictly. Raises `RefusalError`."""
    try:
        return model.model_validate(body)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise RefusalError("malformed", f"{where}: {first['msg']}" if where else first["msg"]) from None


class PeerServer:
    """The handlers of one node. `routes`: path → handler of a POST."""

    def __init__(self, routes: Mapping[str, Handler], key: PrivateKey, clock: Clock) -> None:
        self._routes = dict(routes)
        self._key = key
        self._clock = clock
        self._gate = Gate(clock.wall())
        self._addresses = Rate(clock, burst=MAX_ADDRESS_BURST, every=ADDRESS_EVERY)
        self._senders = Rate(clock, burst=MAX_SENDER_BURST, every=SENDER_EVERY)

    def application(self) -> web.Application:
        app = web.Application(client_max_size=MAX_REQUEST)
        for path in self._routes:
            app.router.add_post(path, self._serve)
        return app

    async def _serve(self, request: web.Request) -> web.Response:
        try:
            self._addresses.take(prefix_of(request.remote or ""))
        except TooOftenError as error:
            return web.json_response({"code": "busy", "error": str(error), "hint": error.hint}, status=429)
        try:
            content = await request.read()
        except web.HTTPRequestEntityTooLarge:
            return web.json_response(
                {"code": "too-long", "error": f"a request has at most {MAX_REQUEST} bytes", "hint": ""}, status=413
            )
        header, target = request.headers.get("Authorization", ""), request.raw_path
        try:
            sender, signed = open_request(header, request.method, target, self._key.address, content)
        except EnvelopeError as error:
            return web.json_response({"code": error.code, "error": str(error), "hint": ""}, status=401)
        status, answer = await self._answer(request.path, sender, signed, content)
        body = json.dumps(answer, separators=(",", ":")).encode()
        headers = {SIGNATURE: seal_answer(signed, status, body, self._key)}
        return web.Response(body=body, status=status, headers=headers, content_type="application/json")

    async def _answer(
        self, path: str, sender: Address, signed: Request, content: bytes
    ) -> tuple[int, Mapping[str, Any]]:
        try:
            self._gate.admit(sender, signed, self._clock.wall())
            self._senders.take(str(sender))
            return 200, await self._routes[path](sender, _object(content))
        except EnvelopeError as error:
            return 401, {"code": error.code, "error": str(error), "hint": ""}
        except TooOftenError as error:
            return 429, {"code": "busy", "error": str(error), "hint": error.hint}
        except RefusalError as error:
            return 400, {"code": error.code, "error": str(error), "hint": error.hint}
        except Exception:  # whatever happens here is not told to strangers
            log.exception("peer API: %s for %s", path, sender)
            return 500, {"code": "internal", "error": "this node has a fault of its own", "hint": "ask again later"}


class PeerListener:
    """Serves an application of `PeerServer` on addresses HOST:PORT; port 0: any free one."""

    def __init__(self, application: web.Application, listen: Sequence[str]) -> None:
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=2.0)
        self._listen = listen

    async def start(self) -> None:
        """Raises `ListenError`."""
        await self._runner.setup()
        for address in self._listen:
            host, _, port = address.rpartition(":")
            try:
                await web.TCPSite(self._runner, host.strip("[]"), int(port)).start()
            except OSError as error:
                await self._runner.cleanup()
                raise ListenError(
                    f"cannot listen on {address} for other nodes: {error.strerror}: set [storage] listen in config.toml"
                ) from None
        ports = sorted({address[1] for address in self._runner.addresses})
        log.info("other nodes reach this one on port %s", ", ".join(map(str, ports)))

    async def close(self) -> None:
        """Idempotent."""
        await self._runner.cleanup()


def _object(content: bytes) -> Mapping[str, Any]:
    try:
        found = jsontext.load(content)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise RefusalError("malformed", "the body is not a JSON object")
    return found
