"""HTTP to chain endpoints: one bounded request each, failover between them, and faults with names.

Public endpoints fail in every way there is: they time out, answer 429 or an HTML page, cut their JSON off, or serve
another network. Here every such answer becomes one typed error; an endpoint that failed rests for a while, and the next
one is asked. An endpoint is believed only after it has told which chain it serves. URLs and headers may hold API keys,
so only a URL's host is ever shown, and a secret that comes back in an answer is crossed out.

What is asked, and what an answer means, is `endpoints` (JSON-RPC) and `tron_endpoints` (java-tron's HTTP).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Generic, TypeVar
from urllib.parse import urlsplit, urlunsplit

import aiohttp

from wallet import jsontext
from wallet.chains.base import ChainAnswerError, ChainError, ChainUnreachableError, WrongChainError

MAX_ANSWER = 16 * 2**20
"""Bytes of one answer; the largest we ask for are logs."""
ROUNDS = 3
"""How often a question goes through all endpoints."""
BACKOFF = 0.25
"""Seconds before the second round; doubled before each further one."""
LONGEST_WAIT = 5.0
"""Seconds that an endpoint's wish to wait is granted for within one question."""
REST = 30.0
"""Seconds for which an endpoint that failed is asked last."""
MAX_REST = 3600.0
MAX_LINE = 200
"""Characters of a server's words that are shown."""

_RemoteFault = (ChainUnreachableError, ChainAnswerError, WrongChainError)

T = TypeVar("T")
S = TypeVar("S", bound="Server")


# --- one server -----------------------------------------------------------------------------------------------------


class Server:
    """One HTTP server. Raises `ChainUnreachableError` and `ChainAnswerError`: remote faults.

    `headers` go with every request; their values are secret.
    """

    def __init__(self, url: str, timeout: float, headers: Mapping[str, str] | None = None) -> None:
        self.host = _host(url)
        self.checked = False
        """Whether it has told that it serves our chain."""
        self.rests_until = 0.0
        self._url = url
        self._headers = dict(headers or {})
        self._timeout = aiohttp.ClientTimeout(total=timeout)
        self._session: aiohttp.ClientSession | None = None

    async def fetch(
        self, method: str, path: str = "", *, body: object = None, query: Mapping[str, str] | None = None
    ) -> tuple[int, bytes]:
        """Status and body of one request, within the deadline. `path` is appended to the URL's."""
        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=self._timeout, headers=self._headers)
        try:
            async with self._session.request(
                method, _join(self._url, path), json=body, params=query, allow_redirects=False
            ) as response:
                raw = await self._read(response)
                if response.status == 429:
                    wait = _seconds(response.headers.get("Retry-After", ""))
                    raise ChainAnswerError(f"{self.host} allows no more requests for now", retry_after=wait)
                return response.status, raw
        except TimeoutError:
            raise ChainUnreachableError(f"{self.host} did not answer in {self._timeout.total:g} s") from None
        except aiohttp.InvalidURL:
            raise ChainUnreachableError("an endpoint is not a URL: write it like https://host") from None
        except aiohttp.ClientConnectorError as error:
            reason = error.os_error.strerror or "no connection"
            raise ChainUnreachableError(f"cannot reach {self.host}: {reason}") from None
        except (aiohttp.ClientError, OSError) as error:
            # Its text may hold the URL.
            raise ChainUnreachableError(f"cannot reach {self.host}: {type(error).__name__}") from None

    def parse(self, raw: bytes) -> Any:
        """JSON of bounded depth."""
        try:
            return jsontext.load(raw)
        except jsontext.DepthError:
            raise ChainAnswerError(f"{self.host} answers with JSON of endless depth") from None
        except ValueError:
            kind = "a web page" if raw.lstrip().startswith(b"<") else "something that is not JSON"
            raise ChainAnswerError(f"{self.host} answers with {kind}") from None

    def line(self, text: object) -> str:
        """The server's words as one line of printable characters, without our secrets."""
        words = str(text)
        for secret in filter(None, self._headers.values()):
            words = words.replace(secret, "***")
        return "".join(c if c.isprintable() else " " for c in words[:MAX_LINE])

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def _read(self, response: aiohttp.ClientResponse) -> bytes:
        parts, size = [], 0
        async for part in response.content.iter_any():
            size += len(part)
            if size > MAX_ANSWER:
                raise ChainAnswerError(f"{self.host} answers with more than {MAX_ANSWER} bytes")
            parts.append(part)
        return b"".join(parts)


# --- all of them ----------------------------------------------------------------------------------------------------


class Failover(Generic[S]):
    """Asks the servers in turn until one answers. `check` raises unless a server serves our chain."""

    def __init__(
        self,
        servers: Sequence[S],
        check: Callable[[S], Awaitable[None]],
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._servers = list(servers)
        self._check = check
        self._clock = clock
        self._sleep = sleep

    async def close(self) -> None:
        for server in self._servers:
            await server.close()

    async def ask(self, what: str, question: Callable[[S], Awaitable[T]], *, rounds: int = ROUNDS) -> T:
        """The first answer. A question is whole at one server; it raises `ValueError`, `TypeError` or `KeyError` for an
        answer of a wrong shape. `what` names it in errors.

        Raises the last remote fault when nobody answered; other errors of the question at once.
        """
        fault: ChainError = ChainUnreachableError("no endpoint is configured")
        for turn in range(rounds):
            if turn:
                wait = fault.retry_after if isinstance(fault, ChainAnswerError) else 0.0
                if not fault.retry or wait > LONGEST_WAIT:
                    break
                await self._sleep(max(BACKOFF * 2 ** (turn - 1), wait))
            for server in self._order():
                try:
                    return await self._ask_one(server, what, question)
                except _RemoteFault as error:
                    fault = error
        raise fault

    async def ask_all(self, what: str, question: Callable[[S], Awaitable[T]]) -> Sequence[T]:
        """The answers of all servers that have one, at least one. For what a single server must not decide.

        Raises the last remote fault when nobody answered.
        """
        fault: ChainError = ChainUnreachableError("no endpoint is configured")
        answers = []
        for server in self._servers:
            try:
                answers.append(await self._ask_one(server, what, question))
            except _RemoteFault as error:
                fault = error
        if not answers:
            raise fault
        return answers

    async def _ask_one(self, server: S, what: str, question: Callable[[S], Awaitable[T]]) -> T:
        """Raises a remote fault, and then lets the server rest."""
        fault: ChainError
        try:
            if not server.checked:
                await self._check(server)
                server.checked = True
            return await question(server)
        except _RemoteFault as error:
            fault = error
        except (ValueError, TypeError, KeyError):
            fault = ChainAnswerError(f"{server.host} answers {what} in a wrong shape")
        wait = fault.retry_after if isinstance(fault, ChainAnswerError) else 0.0
        server.rests_until = self._clock() + min(max(REST, wait), MAX_REST)
        raise fault

    def _order(self) -> list[S]:
        """As configured, those at rest last."""
        now = self._clock()
        return sorted(self._servers, key=lambda server: server.rests_until > now)


# --- the parts ------------------------------------------------------------------------------------------------------


def _host(url: str) -> str:
    """Host and port: a URL's other parts may be secret."""
    try:
        parts = urlsplit(url)
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        return "endpoint"
    return f"{parts.hostname}{port}" if parts.hostname else "endpoint"


def _join(url: str, path: str) -> str:
    """The URL with more path; what follows the path stays."""
    if not path:
        return url
    try:
        parts = urlsplit(url)
    except ValueError:
        raise ChainUnreachableError("an endpoint is not a URL: write it like https://host") from None
    return urlunsplit(parts._replace(path=f"{parts.path.rstrip('/')}/{path}"))


def _seconds(text: str) -> float:
    """`Retry-After` in seconds; its other form, a date, is not used by the services we know."""
    return float(text) if text.isascii() and text.isdigit() and len(text) < 9 else 0.0
