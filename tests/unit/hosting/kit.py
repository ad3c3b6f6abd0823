"""A host with real disks and a real store, beside a market, an engine and a clock that tests hold in their hands."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random

from node.bencode import decode
from node.ports.engine import AddTorrent, DuplicateTorrentError, TorrentId, TorrentState, TorrentStatus
from node.ports.storage import Bond, HostedContract, KeptLabel
from node.services.host.contracts import Contracts
from node.services.host.host import Host
from node.services.host.intake import ShardEngine, tidy, torrent_id
from node.services.host.terms import HostTerms
from node.storage.audit import ANSWER_SECONDS, Challenge, chain_index, draw
from node.storage.lifecycle import MarketStatus
from node.storage.merkle import holds
from node.storage.messages import AnswerBody, ChallengeCall, Proposal, VoucherCall
from node.storage.terms import Wish, offer
from node.store import SqlStore, open_store
from node.volumes import DiskVolumes
from tests.unit.storage.samples import AUDITOR, HOST, MARKET, RENTER, Kept
from tests.unit.volumes.kit import open_volumes, plenty
from wallet.address import Address
from wallet.chains.base import Call, ChainError, Receipt, RevertedError
from wallet.intents import Intent, IntentState
from wallet.outbox import IntentFailedError
from wallet.storage_terms import StorageContract, Voucher, sign, verify

RAIL = "eip155:1029"
NOW = 1_800_000_000
EPOCH = 1600
BOND = 77
ANSWER_PERIOD = 600
TERMS = HostTerms(storage_price=10**24, epoch_length=EPOCH, min_epochs=1, max_epochs=200)


class Killed(BaseException):
    """The process ends here."""


class Clock:
    """Time that only tests move."""

    def __init__(self) -> None:
        self.time = float(NOW)

    def now(self) -> float:
        return self.time

    def wall(self) -> int:
        return int(self.time)


@dataclass
class OnChain:
    """`StorageMarket.State`."""

    status: int = MarketStatus.UNKNOWN
    epochs: int = 0
    attempt: int = 0
    seed_block: int = 0
    answer_by: int = 0
    index: int = 0
    paid: int = 0


class FakeMarket:
    """The rules of `StorageMarket`, one block a second, each final at once; `calls` lists what was done to it."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.market = MARKET
        self.balances: dict[Address, int] = {RENTER.address: 10**30, HOST.address: 10**30}
        self.known: dict[bytes, OnChain] = {}
        self.calls: list[str] = []
        self.done: dict[str, Mapping[bytes, int]] = {}
        """Transactions in a block, by the key they were sent under, with the bonds they won."""
        self.away: Exception | None = None
        self.unfinal = False
        """Nothing is final, for now."""

    # --- reads -------------------------------------------------------------------------------------------------------

    async def balance(self, account: Address) -> int:
        self._ask()
        return self.balances.get(account, 0)

    async def states(self, contract_ids: Sequence[bytes]) -> Sequence[OnChain]:
        self._ask()
        return [replace(self.known.get(contract_id, OnChain())) for contract_id in contract_ids]

    async def final(self, contract_id: bytes) -> OnChain:
        (found,) = await self.states([contract_id])
        return OnChain() if self.unfinal else found

    async def final_time(self) -> int:
        self._ask()
        return self.clock.wall()

    async def chosen(self, contract: StorageContract) -> tuple[int, int] | None:
        self._ask()
        state = self.known[contract.digest(MARKET)]
        if not state.attempt or self.clock.wall() <= state.seed_block:
            return None
        seed = state.seed_block.to_bytes(32, "big")
        return state.attempt - 1, chain_index(seed, contract.digest(MARKET), contract.blocks)

    def won(self, receipt: Receipt) -> Mapping[bytes, int]:
        return self.done[receipt.hash.decode()]

    def _ask(self) -> None:
        if self.away is not None:
            raise self.away

    # --- calls -------------------------------------------------------------------------------------------------------

    def begin_proof(self, contract: StorageContract) -> Call:
        return self._call("begin", contract)

    def prove(self, contract: StorageContract, block: bytes, path: Sequence[bytes]) -> Call:
        return self._call("prove", contract, block=block.hex(), path=[node.hex() for node in path])

    def answer(self, contract: StorageContract, block: bytes, path: Sequence[bytes]) -> Call:
        return self._call("answer", contract, block=block.hex(), path=[node.hex() for node in path])

    def settle(self, contract: StorageContract, through_epoch: int, signature: bytes) -> Call:
        return self._call("settle", contract, through=through_epoch, signature=signature.hex())

    def call_off(self, contract: StorageContract) -> Call:
        return self._call("call_off", contract)

    def exit(self, contract: StorageContract) -> Call:
        return self._call("exit", contract)

    def close(self, contract: StorageContract) -> Call:
        return self._call("close", contract)

    def cancel(
        self, contract: StorageContract, through_epoch: int, renter_signature: bytes, host_signature: bytes
    ) -> Call:
        return self._call("cancel", contract, through=through_epoch)

    def _call(self, method: str, contract: StorageContract, **arguments: object) -> Call:
        data = json.dumps({"terms": contract.pack().hex(), **arguments}).encode()
        return Call(MARKET.contract, data, 0, method, method)

    def execute(self, key: str, call: Call) -> None:
        """Put a transaction into a block. Raises `RevertedError`."""
        given = json.loads(call.data)
        contract = StorageContract.unpack(bytes.fromhex(given["terms"]))
        contract_id = contract.digest(MARKET)
        state, now = self.known.setdefault(contract_id, OnChain()), self.clock.wall()
        if call.method == "call_off":
            self._require(now < contract.start and state.status in (MarketStatus.UNKNOWN, MarketStatus.ACTIVE))
        elif state.status != MarketStatus.ACTIVE:
            raise RevertedError("WrongStatus")
        won: dict[bytes, int] = {}
        match call.method:
            case "begin":
                epoch = contract.provable_at(now)
                self._require(
                    epoch is not None and not state.paid >> (epoch or 0) & 1 and state.attempt <= (epoch or 0)
                )
                state.attempt, state.seed_block = (epoch or 0) + 1, now + 1
            case "prove":
                index = chain_index(state.seed_block.to_bytes(32, "big"), contract_id, contract.blocks)
                self._require(state.seed_block < now <= state.seed_block + 256 and self._holds(contract, index, given))
                state.paid |= 1 << (state.attempt - 1)
            case "settle":
                through = given["through"]
                self._require(through <= min(contract.epoch_at(now) + 1, state.epochs))
                verify(MARKET, Voucher(contract_id, through), bytes.fromhex(given["signature"]), RENTER.address)
                self._require((1 << through) - 1 & ~state.paid != 0)
                state.paid |= (1 << through) - 1
            case "answer":
                self._require(0 < now <= state.answer_by and self._holds(contract, state.index, given))
                state.answer_by, won = 0, {contract_id: BOND}
            case "call_off":
                state.status = MarketStatus.CALLED_OFF
            case "cancel":
                state.paid |= (1 << given["through"]) - 1
                state.status = MarketStatus.CANCELLED
            case "exit":
                served = contract.epoch_at(now) + 2
                self._require(now >= contract.start and not state.answer_by and served < state.epochs)
                state.epochs = served
            case "close":
                every, end = (1 << state.epochs) - 1, contract.epoch_start(state.epochs)
                ready = end if state.paid == every else end + contract.epoch_length
                self._require(now >= ready)
                state.status = MarketStatus.COMPLETED
        self.calls.append(call.method)
        self.done[key] = won

    def _holds(self, contract: StorageContract, index: int, given: dict[str, str]) -> bool:
        path = [bytes.fromhex(node) for node in given["path"]]
        return holds(contract.root, contract.length, index, bytes.fromhex(given["block"]), path)

    def _require(self, right: bool) -> None:
        if not right:
            raise RevertedError("refused")

    # --- the renter's side -------------------------------------------------------------------------------------------

    def open(self, contract: StorageContract) -> None:
        self.known[contract.digest(MARKET)] = OnChain(MarketStatus.ACTIVE, contract.epochs)

    def challenge(self, contract: StorageContract, index: int) -> None:
        state = self.known[contract.digest(MARKET)]
        state.answer_by, state.index = self.clock.wall() + ANSWER_PERIOD, index

    def paid(self, contract: StorageContract) -> int:
        return self.known[contract.digest(MARKET)].paid


class Sender:
    """`Transactions` with the promise of the outbox: one effect per key, also over a restart. `kill` ends the process
    at the n-th step from now: before or after the block, or before it is written down."""

    def __init__(self, market: FakeMarket, store: SqlStore, bench: Bench) -> None:
        self._market = market
        self._store = store
        self._bench = bench

    async def perform(self, key: str, call: Call) -> None:
        known = await self._store.intent(key)
        if known is None:
            self._bench.tick_of_death()
            known = Intent(key=key, rail=RAIL, sender=HOST.address, call=call, created_at=self._bench.clock.wall())
            await self._store.save_intent(known)
        assert known.call == call, "a key was used for two calls"
        self._bench.tick_of_death()
        if key not in self._market.done:
            try:
                self._market.execute(key, call)
            except RevertedError as error:
                await self._store.save_intent(replace(known, state=IntentState.FAILED))
                raise IntentFailedError(str(error)) from None
        self._bench.tick_of_death()
        await self._store.save_intent(replace(known, state=IntentState.FINAL))
        await self._bench.host.claims.book(known, Receipt(key.encode(), True, 0, b"", 0, 0))

    async def recover(self) -> None:
        """As `Settlement` does at a start: what is in a block is booked, also what was booked before."""
        for known in await self._store.intents(RAIL, HOST.address):
            if known.key in self._market.done:
                await self._store.save_intent(replace(known, state=IntentState.FINAL))
                await self._bench.host.claims.book(known, Receipt(known.key.encode(), True, 0, b"", 0, 0))


class FreeFees:
    """Transactions cost `units`, unless the chain would refuse them: `refusal`."""

    def __init__(self, units: int = 0) -> None:
        self.units = units
        self.refusal: ChainError | None = None

    async def fee(self, call: Call) -> int | None:
        if self.refusal is not None:
            raise self.refusal
        return self.units


class FakeEngine:
    """Fetches a shard at once where one of its peers has it."""

    def __init__(self) -> None:
        self.swarm: dict[str, bytes] = {}
        """Name of a shard → its bytes, at whoever seeds it."""
        self.torrents: dict[TorrentId, AddTorrent] = {}
        self.failed: set[TorrentId] = set()

    async def add(self, request: AddTorrent) -> TorrentId:
        name, length = self._read(request)
        found = torrent_id(bytes.fromhex(name), length)
        if found in self.torrents:
            raise DuplicateTorrentError("here already")
        self.torrents[found] = request
        if not request.seed_mode and request.peers and name in self.swarm:
            (request.save_path / name).write_bytes(self.swarm[name])
        return found

    async def remove(self, torrent: TorrentId, *, delete_files: bool = False) -> None:
        del self.torrents[torrent]

    async def resume(self, torrent: TorrentId) -> None:
        self.failed.remove(torrent)

    async def connect(self, torrent: TorrentId, host: str, port: int) -> None:
        request = self.torrents[torrent]
        name, _ = self._read(request)
        if name in self.swarm:
            (request.save_path / name).write_bytes(self.swarm[name])

    async def status(self, torrent: TorrentId) -> TorrentStatus:
        request = self.torrents[torrent]
        name, length = self._read(request)
        path = request.save_path / name
        done = path.stat().st_size if path.exists() else 0
        return TorrentStatus(
            id=torrent,
            name=name,
            state=TorrentState.DOWNLOADING,
            save_path=request.save_path,
            total_bytes=length,
            done_bytes=done,
            progress=done / length,
            download_rate=0,
            upload_rate=0,
            downloaded=done,
            uploaded=0,
            peers=0,
            seeds=0,
            has_metadata=True,
            error="input/output error" if torrent in self.failed else "",
        )

    @staticmethod
    def _read(request: AddTorrent) -> tuple[str, int]:
        assert request.torrent is not None
        content = decode(request.torrent)[b"info"]
        ((name, entry),) = content[b"file tree"].items()
        return name.decode(), entry[b""][b"length"]


class Bench:
    """`open` it first; `restart` forgets everything that is on no disk."""

    def __init__(self, folder: Path, *, terms: HostTerms = TERMS, fee: int = 0) -> None:
        self.folder = folder
        self.terms = terms
        self.clock = Clock()
        self.market = FakeMarket(self.clock)
        self.engine = FakeEngine()
        self.real: ShardEngine | None = None
        """Used instead, from the next `restart` on."""
        self.fees = FreeFees(fee)
        self.free: Callable[[Path], int] = plenty
        """What the disk says it could still take."""
        self.steps_left: int | None = None
        self.steps = 0
        self.dead = False
        self._numbers = itertools.count()

    async def open(self) -> Bench:
        self.volumes: DiskVolumes = open_volumes(self.folder, free=lambda disk: self.free(disk))
        disk = self.folder / "disk"
        disk.mkdir()
        await self.volumes.add(disk, 1 << 30)
        self.store: SqlStore = await open_store(self.folder / "node.db", None)
        await self.restart()
        return self

    async def close(self) -> None:
        await self.host.close()
        await self.store.close()
        self.volumes.close()

    async def restart(self) -> None:
        self.volumes.close()
        self.volumes = open_volumes(self.folder, free=lambda disk: self.free(disk))
        await self.volumes.volumes()
        self.engine.torrents.clear()
        contracts = await Contracts.open(DeadlyStore(self.store, self), RAIL, MARKET.contract)
        await tidy(await self.store.hosted(), self.volumes)
        sender = Sender(self.market, self.store, self)
        self.host = Host(
            contracts,
            self.terms,
            self.market,
            volumes=self.volumes,
            engine=self.real or self.engine,
            transactions=sender,
            intents=self.store,
            fees=self.fees,
            key=HOST,
            clock=self.clock,
            random=Random(7),
        )
        await sender.recover()

    def tick_of_death(self) -> None:
        """A place where the process may end."""
        self.steps += 1
        if self.steps_left is not None:
            if self.steps_left == 0:
                self.dead = True
                raise Killed
            self.steps_left -= 1

    async def round(self, times: int = 3) -> None:
        for _ in range(times):
            await self.host.step()
            await self.host.join()
            if self.dead:  # in a task of the host, which took nobody with it
                raise Killed

    # --- the renter --------------------------------------------------------------------------------------------------

    async def offered(
        self, kept: Kept, *, epochs: int = 4, lead: int = 1200, auditor: Address | None = None
    ) -> Proposal:
        """By the table in force; its shard is seeded."""
        quote = await self.host.tables.quote()
        self.engine.swarm[kept.contract.root.hex()] = kept.data
        wish = Wish(
            kept.contract.root,
            kept.contract.length,
            RENTER.address,
            self.clock.wall() + lead,
            epochs,
            next(self._numbers),
            auditor or AUDITOR.address,
        )
        return proposal(offer(quote.table, wish))

    async def rented(self, kept: Kept, *, epochs: int = 4) -> StorageContract:
        """A contract that is active, and about to start."""
        offered = await self.offered(kept, epochs=epochs)
        await self.host.propose(RENTER.address, offered)
        self.market.open(offered.contract)
        await self.round(4)
        return offered.contract

    async def vouch(self, contract: StorageContract, through: int) -> int:
        voucher = Voucher(contract.digest(MARKET), through)
        return await self.host.vouchers.take(RENTER.address, VoucherCall(voucher, sign(MARKET, voucher, RENTER)))

    async def challenge(self, contract: StorageContract, count: int = 3) -> tuple[Challenge, AnswerBody]:
        call = challenge_call(contract, self.clock.wall(), count, next(self._numbers))
        return call.challenge, await self.host.answers.answer(RENTER.address, call)

    def at(self, contract: StorageContract, epoch: int, part: float = 0.5) -> None:
        """Move the clock to a part of an epoch."""
        self.clock.time = contract.epoch_start(epoch) + part * contract.epoch_length

    def record(self, contract: StorageContract) -> HostedContract:
        found = self.host.contracts.get(contract.digest(MARKET))
        assert found is not None
        return found


class DeadlyStore:
    """A host's store whose writes are places where the process may end."""

    def __init__(self, store: SqlStore, bench: Bench) -> None:
        self._store = store
        self._bench = bench

    async def hosted(self) -> Sequence[HostedContract]:
        return await self._store.hosted()

    async def save_hosted(self, contract: HostedContract) -> None:
        self._bench.tick_of_death()
        await self._store.save_hosted(contract)
        self._bench.tick_of_death()

    async def keep_voucher(self, voucher: Voucher, signature: bytes, at: int) -> None:
        self._bench.tick_of_death()
        await self._store.keep_voucher(voucher, signature, at)
        self._bench.tick_of_death()

    async def book_paid(self, contract_id: bytes, paid: int) -> int:
        self._bench.tick_of_death()
        return await self._store.book_paid(contract_id, paid)

    async def book_bond(self, bond: Bond) -> bool:
        self._bench.tick_of_death()
        return await self._store.book_bond(bond)

    async def keep_label(self, label: KeptLabel) -> KeptLabel:
        self._bench.tick_of_death()
        return await self._store.keep_label(label)

    async def label(self, contract_id: bytes) -> KeptLabel | None:
        return await self._store.label(contract_id)

    async def label_bytes(self) -> int:
        return await self._store.label_bytes()


def proposal(contract: StorageContract, renews: bytes | None = None) -> Proposal:
    return Proposal(MARKET, contract, sign(MARKET, contract, RENTER), ("127.0.0.1:6881",), renews)


def challenge_call(contract: StorageContract, now: int, count: int, number: int) -> ChallengeCall:
    contract_id, nonce = contract.digest(MARKET), number.to_bytes(32, "big")
    indices = draw(nonce, contract_id, contract.blocks, count)
    challenge = Challenge(contract_id, nonce, indices, now, now + ANSWER_SECONDS)
    return ChallengeCall(challenge, sign(MARKET, challenge, RENTER))


def damage(bench: Bench, contract: StorageContract, block: int) -> None:
    """One byte of a block turns over on the disk."""
    (path,) = (bench.folder / "disk").rglob(contract.root.hex())
    with path.open("r+b") as file:
        file.seek(block * 16384)
        byte = file.read(1)
        file.seek(block * 16384)
        file.write(bytes((byte[0] ^ 1,)))
