"""The local API's server: loopback by default, one bearer token, one error format.

Every answer is JSON. A fault is `{"error": text, "hint": text}` with a fitting status; a traceback never leaves the
process. The token is compared in constant time and kept in a file only its owner can read. Requests that a browser page
of another origin could make are refused by the token alone: it is never in a cookie.
"""

from __future__ import annotations

import errno
import hmac
import json
import logging
import os
import secrets
import socket
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path

from aiohttp import web
from pydantic import ValidationError

from node.packing.errors import PackingError
from node.ports.engine import BadMagnetError, BadTorrentError, DuplicateTorrentError, EngineError, UnknownTorrentError
from node.ports.store import StoreError
from node.ports.volumes import UnknownVolumeError, VolumeBusyError, VolumeError
from node.services.rate import TooOftenError
from node.services.renter.errors import RenterError, UnknownObjectError
from node.storage.errors import StorageError
from wallet.chains.base import ChainError
from wallet.errors import WalletError

log = logging.getLogger(__name__)

MAX_BODY = 96 * 1024 * 1024
"""Bytes: a torrent file of 64 MiB in base64."""

MIN_TOKEN = 32
"""Characters; ours have 43. What is shorter was cut off by a full disk, and an empty one would let everybody in."""

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_STATUS: tuple[tuple[type[Exception], int], ...] = (
    (UnknownTorrentError, 404),
    (DuplicateTorrentError, 409),
    (BadTorrentError, 400),
    (BadMagnetError, 400),
    (ValidationError, 400),
    (ChainError, 502),  # these two before their base class
    (TooOftenError, 429),
    (WalletError, 400),
    (TimeoutError, 504),
    (UnknownObjectError, 404),
    (RenterError, 400),
    (PackingError, 400),
    (StorageError, 400),
    (StoreError, 500),
    (UnknownVolumeError, 404),
    (VolumeBusyError, 409),
    (VolumeError, 400),
    (EngineError, 500),
)


class ApiServer:
    """Serves `app` on `host:port` (0 = any free port) and tells the command line where in `api_file`."""

    def __init__(self, app: web.Application, *, host: str, port: int, api_file: Path) -> None:
        self._app = app
        self._host = host
        self._port = port
        self._api_file = api_file
        self._runner: web.AppRunner | None = None
        self.url = ""

    async def start(self) -> None:
        """Raises `EngineError` when the port is in use."""
        self._runner = web.AppRunner(self._app, access_log=None, shutdown_timeout=2.0)
        await self._runner.setup()
        site = web.TCPSite(self._runner, self._host, self._port)
        try:
            await site.start()
        except OSError as error:
            await self._runner.cleanup()
            self._runner = None
            # A name that does not resolve has a number of its own kind, and its text only.
            reason = error.strerror if isinstance(error, socket.gaierror) else os.strerror(error.errno or 0)
            hint = "another node may be running; set [api] port in config.toml"
            if error.errno != errno.EADDRINUSE:
                hint = "set [api] host and port in config.toml"
            raise EngineError(
                f"cannot listen on {self._host}:{self._port} for the local API: {reason}: {hint}"
            ) from None
        port = self._runner.addresses[0][1]
        host = f"[{self._host}]" if ":" in self._host else self._host
        self.url = f"http://{host}:{port}"
        temporary = self._api_file.with_suffix(".tmp")
        temporary.write_text(json.dumps({"url": self.url, "pid": os.getpid()}))
        temporary.replace(self._api_file)

    async def close(self) -> None:
        if self._runner is not None:
            self._api_file.unlink(missing_ok=True)
            await self._runner.cleanup()
            self._runner = None


def load_token(path: Path) -> str:
    """The API's token; made at first use, mode 0600, and made again where the file holds less than a token."""
    with suppress(FileNotFoundError):
        token = path.read_bytes().decode("ascii", "replace").strip()
        if len(token) >= MIN_TOKEN and token.isascii():
            return token
    token = secrets.token_urlsafe(32)
    temporary = path.with_suffix(".tmp")
    temporary.unlink(missing_ok=True)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(token + "\n")
    temporary.replace(path)
    return token


def make_app(token: str) -> web.Application:
    """An application with authentication and error answers, to which routes are added."""

    @web.middleware
    async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
        given = request.headers.get("Authorization", "").removeprefix("Bearer ")
        # A header is bytes; what was no UTF-8 in it is still there as surrogates.
        if not hmac.compare_digest(given.encode(errors="surrogateescape"), token.encode()):
            return fault(
                401, "the API needs the token of this node", "it is in the file api-token of the node's folder"
            )
        try:
            return await handler(request)
        except web.HTTPException as error:
            return fault(error.status, error.text or error.reason, "")
        except Exception as error:  # every fault must become an answer
            for kind, status in _STATUS:
                if isinstance(error, kind):
                    return fault(status, _text(error), getattr(error, "hint", ""))
            log.exception("%s %s", request.method, request.path)
            return fault(500, f"internal error: {type(error).__name__}", "the log has the details")

    return web.Application(middlewares=[guard], client_max_size=MAX_BODY)


def fault(status: int, error: str, hint: str) -> web.Response:
    return web.json_response({"error": error, "hint": hint}, status=status)


def _text(error: Exception) -> str:
    if isinstance(error, ValidationError):
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        return f"{where}: {str(first['msg']).removeprefix('Value error, ')}"
    return str(error)
