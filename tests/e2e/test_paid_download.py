"""A paid download between real processes: what must hold when nothing goes wrong, and when either side is killed."""

from __future__ import annotations

import asyncio
import random
import signal
from pathlib import Path

import pytest

from node.engine.libtorrent import LibtorrentEngine
from node.ports.engine import CreateTorrent, EngineSettings
from tests.e2e.stage import PRICE, Stage, StageNode, host_for, make_file, stage
from wallet.amount import MIB, cost

SIZE = 24 * MIB + 777
QUANTUM = MIB
KILLS = 10


def torrent_of(path: Path) -> bytes:
    engine = LibtorrentEngine(EngineSettings(listen=()))
    return asyncio.run(engine.create(CreateTorrent(path=path, piece_length=256 * 1024)))


def cast(made: Stage, worker: str, upload: int) -> tuple[StageNode, StageNode]:
    seller = made.node("seller", host_for(worker, 2), node={"upload_limit": f'"{upload}"'}, speed={"buy": "false"})
    payer = made.node("payer", host_for(worker, 3), speed={"sell": "false"})
    for node in (seller, payer):
        made.fund(node)
        node.start()
    payer.call("POST", "/v1/vault/deposit", {"amount": str(cost(8 * SIZE, PRICE))})
    return seller, payer


def test_owed_earned_and_cashed_are_the_same_to_the_unit(tmp_path: Path, worker_id: str) -> None:
    data = make_file(tmp_path / "share" / "f.bin", SIZE, 1)
    torrent = torrent_of(tmp_path / "share" / "f.bin")
    with stage(tmp_path) as made:
        seller, payer = cast(made, worker_id, 0)
        name = seller.add(torrent, seed=True, save_path=str(tmp_path / "share"))["id"]
        payer.add(torrent, max_price=str(2 * PRICE), peers=[seller.peer])
        path = f"/v1/torrents/{name}"
        payer.wait(path, lambda t: t["state"] == "seeding" and t["settled"], "paid and complete")
        assert (payer.home / "downloads" / "f.bin").read_bytes() == data
        settled = seller.call("POST", "/v1/settle")["rails"][0]
        owed, earned = payer.account("payee"), seller.account("payer")
        assert 0 < owed["metered"] <= cost(SIZE, PRICE)
        assert owed["metered"] == owed["cheques"] == owed["acknowledged"]
        assert owed["metered"] == earned["metered"] == earned["cheques"] == earned["cashed"]
        assert [done["ok"] for done in settled["transactions"]] == [True]
        (payee,), (customer,) = payer.get("/v1/reputation"), seller.get("/v1/reputation")
        assert (payee["roles"], payee["failed"]) == (["payee"], "0")
        assert 0 < int(payee["delivered"]) <= SIZE
        assert (customer["roles"], customer["paid"], customer["unpaid"]) == (["payer"], str(earned["cheques"]), "0")
        assert payee["score"] > 500 < customer["score"]
        assert "pays us" in seller.cli("reputation").stdout
        # Nothing is left to cash, and asking again costs nothing.
        assert seller.call("POST", "/v1/settle")["rails"][0]["cheques"] == []


def kill_and_complete(folder: Path, worker: str, victim_name: str, seed: int) -> None:
    moments = random.Random(seed)
    data = make_file(folder / "share" / "f.bin", SIZE, seed)
    torrent = torrent_of(folder / "share" / "f.bin")
    with stage(folder) as made:
        seller, payer = cast(made, worker, 8_000_000)
        name = seller.add(torrent, seed=True, save_path=str(folder / "share"))["id"]
        payer.add(torrent, max_price=str(PRICE), peers=[seller.peer])
        path = f"/v1/torrents/{name}"
        victim = {"seller": seller, "payer": payer}[victim_name]
        thresholds = sorted(moments.randrange(SIZE * 9 // 10) for _ in range(KILLS))
        signed = held = 0
        for threshold in thresholds:
            payer.wait(path, lambda t, at=threshold: t["done_bytes"] >= at, f"{threshold} bytes")  # type: ignore[misc]  # mypy cannot type a lambda's default
            signed = max(signed, payer.account("payee")["cheques"])
            held = max(held, seller.account("payer")["cheques"])
            victim.kill()
            victim.start()
            after_signed, after_held = payer.account("payee")["cheques"], seller.account("payer")["cheques"]
            assert after_signed >= signed, "a cheque the payer had signed is lost or shrunk"
            assert after_held >= held, "a cheque the seller had counted is lost or shrunk"
            assert after_held <= after_signed, "the seller holds more than the payer remembers to have signed"
            payer.call("POST", f"{path}/connect", {"host": seller.peer[0], "port": seller.peer[1]})
        payer.wait(path, lambda t: t["state"] == "seeding" and t["settled"], "complete and settled")
        assert (payer.home / "downloads" / "f.bin").read_bytes() == data
        owed, earned = payer.account("payee"), seller.account("payer")
        assert owed["cheques"] == earned["cheques"] > 0
        assert owed["cheques"] <= cost(SIZE, PRICE) + cost(QUANTUM, PRICE)
        seller.call("POST", "/v1/settle")
        assert seller.account("payer")["cashed"] == owed["cheques"]


@pytest.mark.timeout(240)
@pytest.mark.parametrize("seed", [1])
@pytest.mark.parametrize("victim", ["payer", "seller"])
def test_killed_at_random_moments_it_completes_and_no_cheque_is_lost(
    tmp_path: Path, worker_id: str, victim: str, seed: int
) -> None:
    kill_and_complete(tmp_path, worker_id, victim, seed)


def test_sigterm_in_the_middle_of_a_transfer_is_a_clean_stop(tmp_path: Path, worker_id: str) -> None:
    make_file(tmp_path / "share" / "f.bin", SIZE, 3)
    torrent = torrent_of(tmp_path / "share" / "f.bin")
    with stage(tmp_path) as made:
        seller, payer = cast(made, worker_id, 8_000_000)
        name = seller.add(torrent, seed=True, save_path=str(tmp_path / "share"))["id"]
        payer.add(torrent, max_price=str(PRICE), peers=[seller.peer])
        payer.wait(f"/v1/torrents/{name}", lambda t: t["done_bytes"] > SIZE // 3, "a third")
        for node in (payer, seller):
            assert node.process is not None
            node.process.child.send_signal(signal.SIGTERM)
            assert node.process.child.wait(20) == 0
            node.stop()
        before = SIZE // 3
        seller.start()
        payer.start()
        found = payer.get(f"/v1/torrents/{name}")
        assert found["done_bytes"] >= before or found["state"] == "checking"
        payer.call("POST", f"/v1/torrents/{name}/connect", {"host": seller.peer[0], "port": seller.peer[1]})
        payer.wait(f"/v1/torrents/{name}", lambda t: t["state"] == "seeding" and t["settled"], "complete")
