"""What every engine must do: one suite for libtorrent and for the in-memory twin."""

from __future__ import annotations

import asyncio
import hashlib
import json
import random
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import pytest

from node.bencode import encode
from node.engine.libtorrent import LibtorrentEngine
from node.engine.memory import MemoryEngine, MemorySwarm, running
from node.ports.engine import (
    MAX_EXTENSION_MESSAGE,
    AddTorrent,
    BadMagnetError,
    BadTorrentError,
    CreateTorrent,
    DuplicateTorrentError,
    Engine,
    EngineError,
    EngineSettings,
    ListenError,
    PeerId,
    TorrentFormat,
    TorrentId,
    TorrentState,
    UnknownTorrentError,
    UploadPolicy,
)
from node.ports.events import (
    BytesReceived,
    BytesSent,
    EngineEvent,
    MessageSent,
    MetadataReceived,
    PeerGone,
    PeerHello,
    PeerMessage,
    PieceFailed,
    PieceVerified,
    TorrentChecked,
    TorrentFinished,
    UploadStalled,
)
from tests.e2e.stage import host_for, make_file

E = TypeVar("E")
SIZE = 3 * 2**20 + 12_345
PIECE = 64 * 1024
DEADLINE = 30.0
VECTORS = Path(__file__).parent.parent / "vectors" / "bep52_roots.json"


@dataclass
class Watched:
    """An engine, everything it has said, and a way to wait for more."""

    engine: Engine
    host: str
    seen: list[EngineEvent] = field(default_factory=list)
    news: asyncio.Condition = field(default_factory=asyncio.Condition)
    react: Callable[[EngineEvent], None] = lambda event: None

    async def follow(self) -> None:
        async for event in self.engine.events():
            self.react(event)
            async with self.news:
                self.seen.append(event)
                self.news.notify_all()

    def all(self, kind: type[E]) -> list[E]:
        return [event for event in self.seen if isinstance(event, kind)]

    async def until(self, kind: type[E], count: int = 1, *, of: Callable[[E], bool] = lambda event: True) -> list[E]:
        """The events of a kind, once there are enough of them."""
        async with asyncio.timeout(DEADLINE), self.news:
            while len(found := [event for event in self.all(kind) if of(event)]) < count:
                await self.news.wait()
        return found


class World:
    """Makes engines of one kind that can reach each other."""

    def __init__(self, kind: str, worker: str, stack: AsyncExitStack) -> None:
        self.kind = kind
        self._worker = worker
        self._stack = stack
        self._swarm = MemorySwarm()
        self._count = 30

    async def engine(self, hello: bytes = b"d1:vi1ee", **settings: Any) -> Watched:
        self._count += 1
        host = host_for(self._worker, self._count)
        wanted: dict[str, Any] = {"listen": (f"{host}:0",), "outgoing_interface": host, "hello": hello, **settings}
        chosen = EngineSettings(dht=False, local_discovery=False, port_mapping=False, utp=False, **wanted)
        engine: Engine
        if self.kind == "memory":
            if self._count == 31:
                await self._stack.enter_async_context(running(self._swarm))
            engine = MemoryEngine(chosen, self._swarm)
        else:
            engine = LibtorrentEngine(chosen)
        watched = Watched(engine, host)
        await engine.start()
        task = asyncio.create_task(watched.follow())

        async def close() -> None:
            await engine.close()
            await task

        self._stack.push_async_callback(close)
        return watched

    async def seeder(self, folder: Path, torrent: bytes, **settings: Any) -> tuple[Watched, TorrentId]:
        """An engine that seeds and is ready for visitors."""
        watched = await self.engine(**settings)
        name = await watched.engine.add(AddTorrent(save_path=folder, torrent=torrent, seed_mode=True))
        await watched.until(TorrentChecked)
        return watched, name


@pytest.fixture(params=["libtorrent", "memory"])
async def world(request: pytest.FixtureRequest, worker_id: str) -> AsyncIterator[World]:
    async with AsyncExitStack() as stack:
        yield World(request.param, worker_id, stack)


@pytest.fixture
def only_libtorrent(world: World) -> World:
    if world.kind == "memory":
        pytest.skip("the in-memory engine does not do this, and says so")
    return world


def create(path: Path, kind: TorrentFormat = TorrentFormat.HYBRID) -> bytes:
    request = CreateTorrent(path=path, piece_length=PIECE, format=kind)
    return asyncio.run(LibtorrentEngine(EngineSettings(listen=())).create(request))


@pytest.fixture(scope="module")
def share(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, bytes, bytes]:
    """(folder, content, hybrid torrent) of one file."""
    folder = tmp_path_factory.mktemp("share")
    data = make_file(folder / "f.bin", SIZE, 21)
    return folder, data, create(folder / "f.bin")


def peer_at(watched: Watched) -> tuple[str, int]:
    return watched.host, watched.engine.listen_port


async def flushed(leecher: Any) -> None:
    """All that has passed is on the disk: pieces are told of on their way there."""
    for status in await leecher.engine.statuses():
        await leecher.engine.resume_data(status.id)


async def test_a_download_is_complete_verified_and_equal(world: World, share: Any, tmp_path: Path) -> None:
    folder, data, torrent = share
    seeder, _ = await world.seeder(folder, torrent)
    leecher = await world.engine()
    name = await leecher.engine.add(AddTorrent(save_path=tmp_path, torrent=torrent, peers=[peer_at(seeder)]))
    await leecher.until(TorrentFinished)
    status = await leecher.engine.status(name)
    assert status.state is TorrentState.SEEDING
    assert status.done_bytes == status.total_bytes == SIZE
    assert {event.piece for event in leecher.all(PieceVerified)} == set(range(-(-SIZE // PIECE)))
    assert (await leecher.engine.read_piece(name, 1)).data == data[PIECE : 2 * PIECE]
    await flushed(leecher)
    assert (tmp_path / "f.bin").read_bytes() == data


async def test_of_a_torrent_only_the_pieces_that_are_wanted_are_fetched(
    world: World, share: Any, tmp_path: Path
) -> None:
    folder, data, torrent = share
    seeder, _ = await world.seeder(folder, torrent)
    leecher = await world.engine()
    request = AddTorrent(save_path=tmp_path, torrent=torrent, peers=[peer_at(seeder)], pieces=(7,))
    name = await leecher.engine.add(request)
    await leecher.until(TorrentFinished)
    assert [event.piece for event in leecher.all(PieceVerified)] == [7]
    assert (await leecher.engine.read_piece(name, 7)).data == data[7 * PIECE : 8 * PIECE]
    await leecher.engine.remove(name, delete_files=True)
    assert sum(event.length for event in leecher.all(BytesReceived)) == PIECE
    for wrong in (
        AddTorrent(save_path=tmp_path, torrent=torrent, pieces=(-(-SIZE // PIECE),)),
        AddTorrent(save_path=tmp_path, torrent=torrent, pieces=()),
        AddTorrent(save_path=tmp_path, resume=encode({"torrent": torrent, "have": b""}), pieces=(1,)),
    ):
        with pytest.raises(ValueError, match="pieces"):
            await leecher.engine.add(wrong)


async def test_marks_of_every_message_are_the_same_on_both_sides(world: World, share: Any, tmp_path: Path) -> None:
    folder, _, torrent = share
    seeder, _ = await world.seeder(folder, torrent, notify_bytes=16 * 1024, upload_limit=6_000_000)
    leecher = await world.engine(notify_bytes=16 * 1024)
    asked: list[int] = []

    def chatter(event: EngineEvent) -> None:
        match event:
            case PeerHello(peer=peer) | BytesSent(peer=peer):
                asked.append(len(asked) + 1)
                seeder.engine.send(peer, b"mark %d" % asked[-1], asked[-1])

    seeder.react = chatter
    await leecher.engine.add(AddTorrent(save_path=tmp_path, torrent=torrent, peers=[peer_at(seeder)]))
    await leecher.until(TorrentFinished)
    seeder.react = lambda event: None
    await seeder.until(MessageSent, len(asked))
    sent = {event.tag: event.sent for event in seeder.all(MessageSent)}
    await leecher.until(PeerMessage, len(sent))
    received = {int(event.payload.split()[1]): event.received for event in leecher.all(PeerMessage)}
    assert len(sent) > 5
    assert received == sent
    assert sum(event.length for event in leecher.all(BytesReceived)) == SIZE
    assert all(event.unrequested == 0 for event in leecher.all(BytesReceived))


async def test_byte_counts_never_move_across_a_message(world: World, share: Any, tmp_path: Path) -> None:
    folder, _, torrent = share
    seeder, _ = await world.seeder(folder, torrent)
    leecher = await world.engine()
    seeder.react = lambda event: (
        seeder.engine.send(event.peer, b"x", 1) if isinstance(event, PeerHello | BytesSent) else None
    )
    await leecher.engine.add(AddTorrent(save_path=tmp_path, torrent=torrent, peers=[peer_at(seeder)]))
    await leecher.until(TorrentFinished)
    counted = 0
    for event in leecher.seen:
        if isinstance(event, BytesReceived):
            counted += event.length
        elif isinstance(event, PeerMessage):
            assert event.received == counted


async def test_an_allowance_is_never_exceeded_and_raising_it_completes(
    world: World, share: Any, tmp_path: Path
) -> None:
    folder, data, torrent = share
    limit = 10 * 16 * 1024 + 77
    # Slow enough that the allowance stands before so much has left, however busy the machine is.
    seeder, _ = await world.seeder(folder, torrent, upload_limit=400_000)
    leecher = await world.engine()
    seeder.react = lambda event: (
        seeder.engine.set_allowance(event.peer, limit) if isinstance(event, PeerHello) else None
    )
    name = await leecher.engine.add(AddTorrent(save_path=tmp_path, torrent=torrent, paused=True))
    await leecher.engine.resume(name)
    await leecher.engine.connect(name, *peer_at(seeder))
    (stalled,) = await seeder.until(UploadStalled)
    assert limit - 16 * 1024 < stalled.sent <= limit
    (peer,) = await seeder.engine.peers(name)
    assert peer.sent == stalled.sent
    seeder.engine.set_allowance(stalled.peer, 2 * limit)
    again = (await seeder.until(UploadStalled, 2))[1]
    assert 2 * limit - 16 * 1024 < again.sent <= 2 * limit
    seeder.engine.set_allowance(stalled.peer, None)
    await leecher.until(TorrentFinished)
    await flushed(leecher)
    assert (tmp_path / "f.bin").read_bytes() == data


async def test_who_is_waited_for_and_how_rare_its_pieces_are_can_be_seen(
    world: World, share: Any, tmp_path: Path
) -> None:
    """A seller that does not send is told from one we want nothing of, and copies of missing pieces are counted."""
    folder, _, torrent = share
    seeders = [(await world.seeder(folder, torrent, upload_limit=100_000))[0] for _ in range(2)]
    leecher = await world.engine()

    def hold(engine: Engine) -> Callable[[EngineEvent], None]:
        return lambda event: engine.set_allowance(event.peer, 0) if isinstance(event, PeerHello) else None

    for seeder in seeders:
        seeder.react = hold(seeder.engine)
    name = await leecher.engine.add(AddTorrent(save_path=tmp_path, torrent=torrent, paused=True))
    await leecher.engine.resume(name)
    for seeder in seeders:
        await leecher.engine.connect(name, *peer_at(seeder))
        await seeder.until(UploadStalled)
    found = await leecher.engine.peers(name)
    assert all(peer.wanted and (peer.requests or peer.choked_by_peer) for peer in found)
    peers = [peer.peer for peer in found]
    held = await leecher.engine.holders(name, peers)
    # A few blocks may have come before the allowance did.
    pieces = (await leecher.engine.info(name)).pieces
    assert set(held) == set(peers)
    assert all(counts == [2] * len(counts) and pieces // 2 < len(counts) <= pieces for counts in held.values())
    assert list(await leecher.engine.holders(name, [*peers[:1], PeerId(10**9)])) == peers[:1]
    for seeder in seeders:
        await seeder.engine.set_limits(upload=0, download=0)
        seeder.engine.set_allowance(seeder.all(UploadStalled)[0].peer, None)
    await leecher.until(TorrentFinished)
    assert not await leecher.engine.holders(name, peers)


async def test_a_reserved_class_can_be_taken_and_left_while_data_flows(
    world: World, share: Any, tmp_path: Path
) -> None:
    folder, data, torrent = share
    seeder, _ = await world.seeder(folder, torrent, upload_limit=4_000_000, notify_bytes=64 * 1024)
    leecher = await world.engine()
    policies = [UploadPolicy(200, 0, True), UploadPolicy(), UploadPolicy(5, 2_000_000), UploadPolicy(1, 0, True)]

    def change(event: EngineEvent) -> None:
        if isinstance(event, BytesSent):
            seeder.engine.set_upload(event.peer, policies[event.sent // 65536 % 4])

    seeder.react = change
    await leecher.engine.add(AddTorrent(save_path=tmp_path, torrent=torrent, peers=[peer_at(seeder)]))
    await leecher.until(TorrentFinished)
    await flushed(leecher)
    assert (tmp_path / "f.bin").read_bytes() == data


async def test_a_disconnect_is_the_last_word_about_a_peer(world: World, share: Any, tmp_path: Path) -> None:
    folder, _, torrent = share
    seeder, _ = await world.seeder(folder, torrent)
    leecher = await world.engine()
    await leecher.engine.add(AddTorrent(save_path=tmp_path, torrent=torrent, peers=[peer_at(seeder)]))
    (hello,) = await seeder.until(PeerHello)
    seeder.engine.ban(hello.peer, "enough")
    (gone,) = await seeder.until(PeerGone)
    assert gone.peer == hello.peer
    assert gone.reason == "enough"
    about = [event for event in seeder.seen if getattr(event, "peer", None) == hello.peer]
    assert isinstance(about[0], PeerHello)
    assert isinstance(about[-1], PeerGone)
    seeder.engine.send(hello.peer, b"nobody listens")
    seeder.engine.set_allowance(PeerId(999), 1)


async def test_a_peer_without_the_extension_is_served_and_not_heard_of(
    world: World, share: Any, tmp_path: Path
) -> None:
    folder, data, torrent = share
    seeder, _ = await world.seeder(folder, torrent)
    leecher = await world.engine(hello=b"")
    await leecher.engine.add(AddTorrent(save_path=tmp_path, torrent=torrent, peers=[peer_at(seeder)]))
    await leecher.until(TorrentFinished)
    await flushed(leecher)
    assert (tmp_path / "f.bin").read_bytes() == data
    assert seeder.all(PeerHello) == []


async def test_resume_data_remembers_what_is_there(world: World, share: Any) -> None:
    folder, _, torrent = share
    seeder, name = await world.seeder(folder, torrent)
    saved = await seeder.engine.resume_data(name)
    await seeder.engine.remove(name)
    again = await world.engine()
    assert await again.engine.add(AddTorrent(save_path=folder, resume=saved)) == name
    await again.until(TorrentFinished)


async def test_a_recheck_finds_what_the_disk_lost_and_downloads_only_that(
    world: World, share: Any, tmp_path: Path
) -> None:
    folder, data, torrent = share
    seeder, _ = await world.seeder(folder, torrent)
    (tmp_path / "f.bin").write_bytes(data[:PIECE] + bytes(PIECE) + data[2 * PIECE :])
    leecher = await world.engine()
    await leecher.engine.add(AddTorrent(save_path=tmp_path, torrent=torrent, recheck=True, peers=[peer_at(seeder)]))
    await leecher.until(TorrentFinished)
    await flushed(leecher)
    assert (tmp_path / "f.bin").read_bytes() == data
    assert sum(event.length for event in leecher.all(BytesReceived)) == PIECE


async def test_a_paused_torrent_talks_to_nobody_until_resumed(world: World, share: Any, tmp_path: Path) -> None:
    folder, _, torrent = share
    seeder, _ = await world.seeder(folder, torrent)
    leecher = await world.engine()
    name = await leecher.engine.add(AddTorrent(save_path=tmp_path, torrent=torrent, paused=True))
    await leecher.engine.connect(name, *peer_at(seeder))
    assert (await leecher.engine.status(name)).state is TorrentState.PAUSED
    await leecher.engine.resume(name)
    await leecher.engine.connect(name, *peer_at(seeder))
    await leecher.until(TorrentFinished)
    await leecher.engine.remove(name, delete_files=True)
    with pytest.raises(UnknownTorrentError):
        await leecher.engine.status(name)


async def test_a_torrent_is_added_once(world: World, share: Any) -> None:
    folder, _, torrent = share
    seeder, _ = await world.seeder(folder, torrent)
    with pytest.raises(DuplicateTorrentError):
        await seeder.engine.add(AddTorrent(save_path=folder, torrent=torrent))
    with pytest.raises(UnknownTorrentError):
        await seeder.engine.peers(TorrentId("0" * 40))


BAD = [b"", b"no", b"d4:infoe", b"le", b"d4:info" + b"l" * 100_000 + b"e" * 100_001, encode({"info": {"name": "x"}})]


@pytest.mark.parametrize("data", BAD, ids=["empty", "text", "half", "list", "bomb", "no pieces"])
async def test_what_is_no_torrent_is_refused_in_one_line(world: World, data: bytes) -> None:
    watched = await world.engine()
    with pytest.raises(BadTorrentError) as refused:
        watched.engine.inspect(data)
    assert "\n" not in str(refused.value)
    with pytest.raises(BadTorrentError):
        await watched.engine.add(AddTorrent(save_path=Path("/nowhere"), torrent=data))


async def test_text_that_is_not_utf8_is_shown_as_well_as_it_can_be(world: World) -> None:
    engine = (await world.engine()).engine
    info = {"name": "x", "length": 5, "piece length": PIECE, "pieces": bytes(20)}
    torrent = encode({"announce": b"http://127.0.0.1/\xff", "comment": b"\xfe", "info": info})
    assert engine.inspect(torrent).trackers == ("http://127.0.0.1/\N{REPLACEMENT CHARACTER}",)
    magnet = engine.inspect_magnet(f"magnet:?xt=urn:btih:{'a' * 40}&dn=%ff&tr=http://127.0.0.1/%ff")
    assert magnet.name == "\N{REPLACEMENT CHARACTER}"
    assert magnet.trackers == ("http://127.0.0.1/\N{REPLACEMENT CHARACTER}",)


@pytest.mark.parametrize("link", ["", "http://x", "magnet:?", "magnet:?xt=urn:btih:zz"])
async def test_a_bad_magnet_is_refused(world: World, link: str) -> None:
    watched = await world.engine()
    with pytest.raises(BadMagnetError):
        watched.engine.inspect_magnet(link)


async def test_a_message_above_the_limit_is_refused_here(world: World) -> None:
    watched = await world.engine()
    with pytest.raises(ValueError, match="at most"):
        watched.engine.send(PeerId(1), bytes(MAX_EXTENSION_MESSAGE + 1))


async def test_a_port_in_use_is_an_error(world: World) -> None:
    first = await world.engine()
    with pytest.raises(ListenError, match="cannot listen"):
        await world.engine(listen=(f"{first.host}:{first.engine.listen_port}",))


async def test_one_address_that_works_is_enough(only_libtorrent: World) -> None:
    here = host_for("gw0", 29)
    # 192.0.2.0/24 is nobody's address (RFC 5737).
    watched = await only_libtorrent.engine(listen=("192.0.2.1:0", f"{here}:0"))
    assert watched.engine.listen_port > 0
    with pytest.raises(ListenError, match="cannot listen"):
        await only_libtorrent.engine(listen=("192.0.2.1:0",))


async def test_closing_does_not_pull_the_session_from_under_a_call(only_libtorrent: World, share: Any) -> None:
    folder, _, torrent = share
    seeder, name = await only_libtorrent.seeder(folder, torrent)
    calls = [asyncio.ensure_future(seeder.engine.peers(name)) for _ in range(40)]
    calls += [asyncio.ensure_future(seeder.engine.read_piece(name, 1)) for _ in range(5)]  # type: ignore[arg-type]  # mixed results on purpose
    await asyncio.sleep(0)
    await seeder.engine.close()
    for outcome in await asyncio.gather(*calls, return_exceptions=True):
        assert not isinstance(outcome, BaseException) or isinstance(outcome, EngineError)


async def test_trackers_of_a_torrent_are_all_told(only_libtorrent: World, share: Any) -> None:
    folder, _, torrent = share
    watched = await only_libtorrent.engine()
    urls = ["http://127.0.0.1:1/announce", "http://127.0.0.1:2/announce"]
    name = await watched.engine.add(AddTorrent(save_path=folder, torrent=torrent, paused=True, trackers=urls[:1]))
    await watched.engine.add_tracker(name, urls[1])
    assert list((await watched.engine.info(name)).trackers) == urls


async def test_two_seeds_part_unless_they_have_cheques_to_exchange(only_libtorrent: World, share: Any) -> None:
    folder, _, torrent = share
    seeder, name = await only_libtorrent.seeder(folder, torrent)
    ordinary, _ = await only_libtorrent.seeder(folder, torrent, hello=b"")
    partner, _ = await only_libtorrent.seeder(folder, torrent)
    for other in (ordinary, partner):
        await seeder.engine.connect(name, *peer_at(other))
    await partner.until(PeerHello)

    async def others() -> dict[str, bool]:
        return {peer.host: peer.speaks_btt for peer in await seeder.engine.peers(name)}

    async with asyncio.timeout(DEADLINE):
        while ordinary.host not in await others():  # noqa: ASYNC110 - no event tells of ordinary peers
            await asyncio.sleep(0.02)
        while ordinary.host in await others():  # noqa: ASYNC110 - as above
            await asyncio.sleep(0.05)
    assert await others() == {partner.host: True}


async def test_closing_twice_is_fine_and_ends_the_events(world: World) -> None:
    watched = await world.engine()
    await watched.engine.close()
    await watched.engine.close()


async def test_a_damaged_block_fails_its_piece_which_comes_again(share: Any, tmp_path: Path) -> None:
    folder, data, torrent = share
    swarm = MemorySwarm()
    settings = EngineSettings(listen=("127.0.0.1:0",), hello=b"de")
    seeder, leecher = MemoryEngine(settings, swarm), MemoryEngine(settings, swarm)
    seeder.corrupt = {3}
    for engine in (seeder, leecher):
        await engine.start()
    await seeder.add(AddTorrent(save_path=folder, torrent=torrent, seed_mode=True))
    await leecher.add(AddTorrent(save_path=tmp_path, torrent=torrent, peers=[("127.0.0.1", seeder.listen_port)]))
    while swarm.step():
        pass
    await leecher.close()
    events = [event async for event in leecher.events()]
    assert [event.piece for event in events if isinstance(event, PieceFailed)] == [3]
    assert sum(event.length for event in events if isinstance(event, BytesReceived)) == SIZE + PIECE
    assert (tmp_path / "f.bin").read_bytes() == data


@pytest.mark.parametrize("kind", list(TorrentFormat))
async def test_every_format_downloads(only_libtorrent: World, tmp_path: Path, kind: TorrentFormat) -> None:
    data = make_file(tmp_path / "s" / "f.bin", 500_000, 4)
    request = CreateTorrent(path=tmp_path / "s" / "f.bin", piece_length=PIECE, format=kind)
    torrent = await LibtorrentEngine(EngineSettings(listen=())).create(request)
    seeder, _ = await only_libtorrent.seeder(tmp_path / "s", torrent)
    leecher = await only_libtorrent.engine()
    await leecher.engine.add(AddTorrent(save_path=tmp_path / "l", torrent=torrent, peers=[peer_at(seeder)]))
    await leecher.until(TorrentFinished)
    await flushed(leecher)
    assert (tmp_path / "l" / "f.bin").read_bytes() == data


async def test_a_magnet_brings_its_metadata_and_then_the_data(
    only_libtorrent: World, share: Any, tmp_path: Path
) -> None:
    folder, data, torrent = share
    seeder, name = await only_libtorrent.seeder(folder, torrent)
    leecher = await only_libtorrent.engine()
    magnet = f"magnet:?xt=urn:btih:{name}"
    added = await leecher.engine.add(AddTorrent(save_path=tmp_path, magnet=magnet, peers=[peer_at(seeder)]))
    assert added == name
    (metadata,) = await leecher.until(MetadataReceived)
    assert leecher.engine.inspect(metadata.torrent_file).id == name
    await leecher.until(TorrentFinished)
    await flushed(leecher)
    assert (tmp_path / "f.bin").read_bytes() == data


async def test_creating_tells_its_progress_and_needs_something_to_share(tmp_path: Path) -> None:
    engine = LibtorrentEngine(EngineSettings(listen=()))
    make_file(tmp_path / "f.bin", 1_000_000, 3)
    told: list[tuple[int, int]] = []
    await engine.create(CreateTorrent(path=tmp_path / "f.bin", piece_length=PIECE), lambda *p: told.append(p))
    await asyncio.sleep(0)
    assert told[-1][0] == told[-1][1] > 0
    with pytest.raises(EngineError, match="no such file"):
        await engine.create(CreateTorrent(path=tmp_path / "nothing"))
    with pytest.raises(EngineError, match="piece size"):
        await engine.create(CreateTorrent(path=tmp_path / "f.bin", piece_length=3 * 2**14))
    (tmp_path / "empty").touch()
    with pytest.raises(EngineError):
        await engine.create(CreateTorrent(path=tmp_path / "empty"))


CASES = json.loads(VECTORS.read_text())["cases"]


@pytest.mark.parametrize("case", CASES, ids=[str(case["length"]) for case in CASES])
async def test_version_2_hashes_are_the_known_answers(case: dict[str, Any], tmp_path: Path) -> None:
    blocks = -(-case["length"] // 32)
    data = b"".join(hashlib.sha256(f"{case['seed']}:{i}".encode()).digest() for i in range(blocks))[: case["length"]]
    (tmp_path / "f.bin").write_bytes(data)
    engine = LibtorrentEngine(EngineSettings(listen=()))
    torrent = await engine.create(
        CreateTorrent(path=tmp_path / "f.bin", piece_length=case["piece_length"], format=TorrentFormat.V2)
    )
    assert engine.inspect(torrent).v2 == case["v2_info_hash"]
    assert bytes.fromhex(case["pieces_root"]) in torrent


@asynccontextmanager
async def quiet() -> AsyncIterator[None]:
    with suppress(EngineError):
        yield


async def test_random_garbage_never_passes_for_a_torrent() -> None:
    engine = LibtorrentEngine(EngineSettings(listen=()))
    source = random.Random(9)
    for _ in range(200):
        async with quiet():
            engine.inspect(b"d4:info" + source.randbytes(source.randrange(200)))
