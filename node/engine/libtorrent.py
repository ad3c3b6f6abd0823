"""The engine port over libtorrent: `node.engine._native` on one side, asyncio on the other.

libtorrent's threads wake the loop through an eventfd. At full speed that would be thousands of times a second, so the
reader is put to rest for `REST` after each drain: byte counts coalesce meanwhile, and Python is called at most 100
times a second whatever the line carries. `FLUSH` picks up counts too small to wake anybody.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from node.engine import _native
from node.engine import translate as native
from node.ports.engine import (
    MAX_EXTENSION_MESSAGE,
    MAX_HOLDERS,
    AddTorrent,
    CreateTorrent,
    EngineError,
    EngineSettings,
    ListenError,
    PeerId,
    PeerStatus,
    PieceRead,
    TorrentId,
    TorrentInfo,
    TorrentStatus,
    UploadPolicy,
)
from node.ports.events import EngineEvent

if TYPE_CHECKING:  # a name of the stub, not of the compiled module
    from node.engine._native import Event

REST = 0.01
FLUSH = 0.1
ANSWER_TIMEOUT = 60.0
LISTEN_TIMEOUT = 10.0
CLOSED = "the engine is closed"

T = TypeVar("T")
K = TypeVar("K")


class LibtorrentEngine:
    """Implements `node.ports.engine.Engine`."""

    def __init__(self, settings: EngineSettings) -> None:
        self._settings = settings
        self._session: _native.Session | None = None
        self._fd = -1
        self._ready: deque[EngineEvent] = deque()
        self._wake = asyncio.Event()
        self._closed = False
        self._listening: asyncio.Future[None] | None = None
        self._resume_waiters: dict[str, list[asyncio.Future[bytes]]] = {}
        self._piece_waiters: dict[tuple[str, int], list[asyncio.Future[bytes]]] = {}
        self._calls: set[asyncio.Future[Any]] = set()
        self._flush: asyncio.TimerHandle | None = None
        self._rest: asyncio.TimerHandle | None = None

    # --- life --------------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        loop = asyncio.get_running_loop()
        settings = self._settings
        self._listening = loop.create_future()
        self._session = await asyncio.to_thread(
            _native.Session, native.to_settings(settings), settings.hello, settings.notify_bytes, settings.pex
        )
        self._fd = self._session.fd()
        loop.add_reader(self._fd, self._on_readable)
        self._flush = loop.call_later(FLUSH, self._on_flush)
        if not settings.listen:
            return
        try:
            await asyncio.wait_for(asyncio.shield(self._listening), LISTEN_TIMEOUT)
        except TimeoutError:
            await self.close()
            raise ListenError(f"cannot listen on {', '.join(settings.listen)}: no answer in time") from None
        except ListenError:
            await self.close()
            raise

    async def close(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            loop = asyncio.get_running_loop()
            loop.remove_reader(self._fd)
            for timer in (self._flush, self._rest):
                if timer is not None:
                    timer.cancel()
            if self._calls:  # threads inside the session would lose it under their feet
                await asyncio.wait(self._calls)
            await asyncio.to_thread(session.close)
            for event in session.drain():
                self._dispatch(event)
            for waiters in (*self._resume_waiters.values(), *self._piece_waiters.values()):
                self._settle(waiters, CLOSED, b"")
        self._closed = True
        self._wake.set()

    @property
    def listen_port(self) -> int:
        return self._native().listen_port()

    async def events(self) -> AsyncIterator[EngineEvent]:
        while True:
            while self._ready:
                yield self._ready.popleft()
            if self._closed:
                return
            self._wake.clear()
            await self._wake.wait()

    # --- torrents ----------------------------------------------------------------------------------------------------

    async def create(self, request: CreateTorrent, progress: Callable[[int, int], None] | None = None) -> bytes:
        loop = asyncio.get_running_loop()
        tell = progress or (lambda done, total: None)
        path = request.path.absolute()
        if not path.exists():
            raise EngineError(f"{request.path}: no such file or folder")
        try:
            # Not `_call`: this needs no session, and `close` does not wait for the hashing of a terabyte.
            return await asyncio.to_thread(
                _native.create,
                str(path),
                request.format.value,
                request.piece_length,
                list(request.trackers),
                list(request.web_seeds),
                request.comment,
                self._settings.user_agent,
                request.private,
                lambda done, total: (loop.call_soon_threadsafe(tell, done, total), None)[1],
            )
        except _native.FaultError as fault:
            raise native.to_error(fault) from None

    def inspect(self, torrent: bytes) -> TorrentInfo:
        try:
            return native.to_info(_native.inspect(torrent))
        except _native.FaultError as fault:
            raise native.to_error(fault) from None

    def inspect_magnet(self, magnet: str) -> TorrentInfo:
        try:
            return native.to_info(_native.inspect_magnet(magnet))
        except _native.FaultError as fault:
            raise native.to_error(fault) from None

    async def add(self, request: AddTorrent) -> TorrentId:
        if sum(source is not None for source in (request.torrent, request.magnet, request.resume)) != 1:
            raise ValueError("exactly one of torrent, magnet and resume")
        torrent, resume = request.torrent, request.resume
        if request.pieces is not None:
            if torrent is None:
                raise ValueError("pieces go with a torrent file")
            resume = native.wanting(torrent, self.inspect(torrent), request.pieces)
            torrent = None
        return TorrentId(
            await self._call(
                self._native().add,
                str(request.save_path.absolute()),
                torrent,
                request.magnet,
                resume,
                request.paused,
                request.seed_mode,
                request.recheck,
                list(request.trackers),
                list(request.peers),
            )
        )

    async def remove(self, torrent: TorrentId, *, delete_files: bool = False) -> None:
        await self._call(self._native().remove, torrent, delete_files)

    async def pause(self, torrent: TorrentId) -> None:
        await self._call(self._native().pause, torrent)

    async def resume(self, torrent: TorrentId) -> None:
        await self._call(self._native().resume, torrent)

    async def recheck(self, torrent: TorrentId) -> None:
        await self._call(self._native().recheck, torrent)

    async def resume_data(self, torrent: TorrentId) -> bytes:
        return await self._ask(self._resume_waiters, torrent, self._native().save_resume, torrent)

    async def status(self, torrent: TorrentId) -> TorrentStatus:
        return native.to_status(await self._call(self._native().status, torrent))

    async def statuses(self) -> Sequence[TorrentStatus]:
        return [native.to_status(found) for found in await self._call(self._native().statuses)]

    async def info(self, torrent: TorrentId) -> TorrentInfo:
        found = await self._call(self._native().info, torrent)
        if found is None:
            raise EngineError("the torrent's metadata is not here yet")
        return native.to_info(found)

    async def peers(self, torrent: TorrentId) -> Sequence[PeerStatus]:
        return [native.to_peer(torrent, peer) for peer in await self._call(self._native().peers, torrent)]

    async def holders(self, torrent: TorrentId, peers: Sequence[PeerId]) -> Mapping[PeerId, Sequence[int]]:
        found = await self._call(self._native().holders, torrent, list(peers), MAX_HOLDERS)
        return {PeerId(peer): counts for peer, counts in found.items()}

    async def connect(self, torrent: TorrentId, host: str, port: int) -> None:
        await self._call(self._native().connect, torrent, host, port)

    async def add_tracker(self, torrent: TorrentId, url: str) -> None:
        await self._call(self._native().add_tracker, torrent, url)

    async def read_piece(self, torrent: TorrentId, piece: int) -> PieceRead:
        key = (torrent, piece)
        return PieceRead(piece, await self._ask(self._piece_waiters, key, self._native().read_piece, torrent, piece))

    async def set_deadline(self, torrent: TorrentId, piece: int, milliseconds: int) -> None:
        await self._call(self._native().set_deadline, torrent, piece, milliseconds)

    async def set_limits(self, *, upload: int, download: int) -> None:
        await self._call(self._native().set_limits, upload, download)

    # --- peers -------------------------------------------------------------------------------------------------------

    def send(self, peer: PeerId, payload: bytes, tag: int = 0) -> None:
        if len(payload) > MAX_EXTENSION_MESSAGE:
            raise ValueError(f"an extension message has at most {MAX_EXTENSION_MESSAGE} bytes")
        if self._session is not None:
            self._session.send(peer, payload, tag)

    def set_upload(self, peer: PeerId, policy: UploadPolicy) -> None:
        if not 1 <= policy.priority <= 255 or policy.limit < 0:
            raise ValueError("an upload policy has a priority of 1 to 255 and no negative limit")
        if self._session is not None:
            self._session.set_upload(peer, policy.priority, policy.limit, policy.reserved)

    def set_allowance(self, peer: PeerId, mark: int | None) -> None:
        if self._session is not None:
            self._session.set_allowance(peer, -1 if mark is None else mark)

    def choke(self, peer: PeerId) -> None:
        if self._session is not None:
            self._session.choke(peer)

    def unchoke(self, peer: PeerId) -> None:
        if self._session is not None:
            self._session.unchoke(peer)

    def disconnect(self, peer: PeerId, reason: str) -> None:
        if self._session is not None:
            self._session.disconnect(peer, reason)

    def ban(self, peer: PeerId, reason: str) -> None:
        if self._session is not None:
            self._session.ban(peer, reason)

    # --- the parts ---------------------------------------------------------------------------------------------------

    def _native(self) -> _native.Session:
        if self._session is None:
            raise EngineError(CLOSED)
        return self._session

    async def _call(self, function: Callable[..., T], *arguments: Any) -> T:
        """A native call that may wait for libtorrent, off the loop."""
        call = asyncio.get_running_loop().run_in_executor(None, function, *arguments)
        self._calls.add(call)
        call.add_done_callback(self._call_ended)
        try:
            # Whoever waits here may be cancelled; the thread cannot, and `close` must still know of it.
            return await asyncio.shield(call)
        except _native.FaultError as fault:
            raise native.to_error(fault) from None

    def _call_ended(self, call: asyncio.Future[Any]) -> None:
        self._calls.discard(call)
        if not call.cancelled():
            call.exception()  # seen, also where nobody waits any more

    async def _ask(
        self,
        waiting: dict[K, list[asyncio.Future[bytes]]],
        key: K,
        function: Callable[..., None],
        *arguments: Any,
    ) -> bytes:
        """A native call that is answered by an event."""
        waiter: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        waiting.setdefault(key, []).append(waiter)
        try:
            await self._call(function, *arguments)
            async with asyncio.timeout(ANSWER_TIMEOUT):
                return await waiter
        except TimeoutError:
            raise EngineError("the engine did not answer in time") from None
        finally:
            self._forget(waiting, key, waiter)

    @staticmethod
    def _forget(waiting: dict[K, list[asyncio.Future[bytes]]], key: K, waiter: asyncio.Future[bytes]) -> None:
        if waiter in waiting.get(key, ()):
            waiting[key].remove(waiter)
            if not waiting[key]:
                del waiting[key]
        if not waiter.cancel() and not waiter.cancelled():
            waiter.exception()  # seen, also where the call itself failed

    def _on_readable(self) -> None:
        loop = asyncio.get_running_loop()
        self._drain()
        loop.remove_reader(self._fd)
        self._rest = loop.call_later(REST, self._on_rested)

    def _on_rested(self) -> None:
        self._rest = None
        if self._session is not None:
            asyncio.get_running_loop().add_reader(self._fd, self._on_readable)

    def _on_flush(self) -> None:
        self._drain()
        self._flush = asyncio.get_running_loop().call_later(FLUSH, self._on_flush)

    def _drain(self) -> None:
        if self._session is None:
            return
        for event in self._session.drain():
            self._dispatch(event)
        if self._ready:
            self._wake.set()

    def _dispatch(self, event: Event) -> None:
        translated = native.to_event(event)
        if translated is not None:
            self._ready.append(translated)
            return
        kind, torrent, text, data = event[0], event[6], event[7], event[8]
        match kind:
            case native.LISTEN_OK:
                if self._listening is not None and not self._listening.done():
                    self._listening.set_result(None)
            case native.LISTEN_FAILED:
                self._listen_failed(text, occupied=bool(event[3]))
            case native.RESUME_DATA | native.RESUME_FAILED:
                self._settle(self._resume_waiters.pop(torrent, []), text, data)
            case native.PIECE_READ | native.PIECE_READ_FAILED:
                self._settle(self._piece_waiters.pop((torrent, event[2]), []), text, data)
            case _:
                pass

    def _listen_failed(self, text: str, *, occupied: bool) -> None:
        if self._listening is None or self._listening.done() or self._session is None:
            return
        # An address family this machine lacks is no fault while another address works; a taken port always is.
        # libtorrent tells failures first, and answers this only when it has tried every address.
        if not occupied and self._session.listen_port():
            return
        where = ", ".join(self._settings.listen)
        self._listening.set_exception(
            ListenError(f"cannot listen on {where}: {text}: choose another port with --listen")
        )

    @staticmethod
    def _settle(waiters: list[asyncio.Future[bytes]], fault: str, data: bytes) -> None:
        for waiter in waiters:
            if waiter.done():
                continue
            if fault:
                waiter.set_exception(EngineError(fault))
            else:
                waiter.set_result(data)
