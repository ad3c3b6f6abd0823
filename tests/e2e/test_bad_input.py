"""Mistakes and misfortunes: each ends in one clear line and an exit code, and nothing is lost."""

from __future__ import annotations

import json
import os
import shutil
import socket
import sqlite3
import subprocess
from pathlib import Path

import pytest

from tests.e2e.stage import NO_CHAIN, PRICE, StageNode, host_for, make_file, stage
from tests.e2e.test_paid_download import torrent_of
from wallet.amount import MIB, cost

SIZE = 6 * MIB + 99


def refused(done: subprocess.CompletedProcess[str], *words: str, code: int = 1) -> None:
    """The command failed as it should: its exit code, one line that says why, no traceback."""
    assert done.returncode == code, done.stderr
    lines = [line for line in done.stderr.strip().splitlines() if " WARNING " not in line]
    assert len(lines) == 1, done.stderr
    assert "Traceback" not in done.stderr
    for word in words:
        assert word in lines[0], lines[0]


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> StageNode:  # type: ignore[misc]  # a generator fixture
    with stage(tmp_path_factory.mktemp("node"), chain=False) as made:
        running = made.node("node", host_for(worker_id, 9))
        running.start()
        yield running


BOMB = b"d4:info" + b"l" * 200_000 + b"e" * 200_001


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("text", b"this is no torrent"),
        ("empty", b""),
        ("truncated", b"d8:announce10:http"),
        ("a list", b"l4:spame"),
        ("bomb", BOMB),
        ("no info", b"d3:foo3:bare"),
    ],
)
def test_what_is_not_a_torrent_is_refused(node: StageNode, tmp_path: Path, name: str, data: bytes) -> None:
    file = tmp_path / "x.torrent"
    file.write_bytes(data)
    refused(node.cli("add", str(file)), "not a usable torrent")
    assert node.get("/v1/status")["torrents"] == []


LINKS = ["magnet:", "magnet:?xt=urn:btih:xyz", "magnet:?dn=name", "magnet:?xt=" + "a" * 70_000]


@pytest.mark.parametrize("link", LINKS)
def test_a_bad_magnet_is_refused(node: StageNode, link: str) -> None:
    refused(node.cli("add", link), "not a usable magnet link")


def test_a_missing_file_is_named(node: StageNode) -> None:
    refused(node.cli("add", "/nowhere/x.torrent"), "/nowhere/x.torrent", "no such torrent file")


def test_a_torrent_that_is_not_there_is_named(node: StageNode) -> None:
    refused(node.cli("pause", "abcdef"), "no torrent matches 'abcdef'")


@pytest.mark.parametrize("amount", ["1.2.3", "-5", "1e9", "5 EUR", "0." + "1" * 19])
def test_an_amount_that_is_none_is_wrong_usage(node: StageNode, amount: str) -> None:
    done = node.cli("vault", "deposit", "--", amount)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr


def test_without_a_chain_money_commands_say_so_and_the_node_runs(node: StageNode) -> None:
    shown = node.cli("wallet", "show")
    assert (shown.returncode, shown.stdout.count("cannot reach")) == (0, 1)
    refused(node.cli("vault", "deposit", "5"), "cannot reach")
    refused(node.cli("wallet", "send", "5 BTT", NO_CHAIN["vault"], "--yes"), "cannot reach")
    assert "cannot reach" in node.get("/v1/status")["chain_fault"]


def test_a_second_node_on_the_same_folder_is_refused(node: StageNode) -> None:
    refused(node.cli("up"), "another bttnode runs on this data directory")
    assert node.get("/v1/status")["version"]


def test_the_api_needs_its_token(node: StageNode) -> None:
    token = node.home / "api-token"
    right = token.read_text()
    assert token.stat().st_mode & 0o777 == 0o600
    try:
        token.write_text("wrong\n")
        refused(node.cli("status"), "needs the token")
    finally:
        token.write_text(right)


def test_a_wrong_password_is_refused_and_the_key_stays(tmp_path: Path) -> None:
    with stage(tmp_path, chain=False) as made:
        stopped = made.node("stopped", "127.0.0.1")
        before = (stopped.home / "keystore.json").read_bytes()
        refused(stopped.cli("up", password="not it"), "password")
        refused(stopped.cli("wallet", "backup", password="not it"), "password")
        assert (stopped.home / "keystore.json").read_bytes() == before


def test_without_a_running_node_commands_say_how_to_start_one(tmp_path: Path) -> None:
    with stage(tmp_path, chain=False) as made:
        refused(made.node("stopped", "127.0.0.1").cli("status"), "no node is running", "bttnode up", code=3)


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("[rail.dogecoin]\n", ("unknown rail 'dogecoin'", "devnet-bttc")),
        ("[rail.bttc]\n", ("REAL MONEY", "--real-money")),
        ("[speed]\nmax_prise = 5\n", ("config.toml", "speed.max_prise")),
        ('[speed]\nreserve_price = "cheap"\n', ("speed.reserve_price", "'cheap'")),
        ("[node\n", ("config.toml", "TOML")),
    ],
)
def test_a_wrong_setting_is_named_with_its_key(tmp_path: Path, setting: str, words: tuple[str, ...]) -> None:
    with stage(tmp_path, chain=False) as made:
        stopped = made.node("stopped", "127.0.0.1")
        (stopped.home / "config.toml").write_text(setting)
        refused(stopped.cli("up"), *words)


def test_init_refuses_an_unknown_rail_and_never_overwrites(tmp_path: Path) -> None:
    with stage(tmp_path, chain=False) as made:
        stopped = made.node("stopped", "127.0.0.1")
        before = {path.name: path.read_bytes() for path in stopped.home.iterdir()}
        refused(stopped.cli("init", "--network", "dogecoin"), "unknown rail 'dogecoin'")
        refused(stopped.cli("init"), "is here already")
        assert {path.name: path.read_bytes() for path in stopped.home.iterdir()} == before


def test_a_port_in_use_is_named(tmp_path: Path) -> None:
    with socket.socket() as taken, stage(tmp_path, chain=False) as made:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        peer = made.node("peer", "127.0.0.1", node={"listen": json.dumps([f"127.0.0.1:{port}"])})
        refused(peer.cli("up"), f"127.0.0.1:{port}", "cannot listen")
        api = made.node("api", "127.0.0.1", api={"port": str(port)})
        refused(api.cli("up"), f"127.0.0.1:{port}", "local API")


def test_a_corrupt_database_is_refused_and_left_alone(tmp_path: Path) -> None:
    with stage(tmp_path, chain=False) as made:
        stopped = made.node("stopped", "127.0.0.1")
        (stopped.home / "node.db").write_bytes(b"certainly not a database" * 1000)
        refused(stopped.cli("up"), "database")
        assert (stopped.home / "node.db").read_bytes() == b"certainly not a database" * 1000


def test_a_locked_database_is_refused(tmp_path: Path, worker_id: str) -> None:
    with stage(tmp_path, chain=False) as made:
        stopped = made.node("stopped", host_for(worker_id, 8))
        stopped.start()
        stopped.stop()
        holder = sqlite3.connect(stopped.home / "node.db", isolation_level=None)
        try:
            holder.execute("BEGIN EXCLUSIVE")
            refused(stopped.cli("up"), "database")
        finally:
            holder.close()
        stopped.start()


def test_an_empty_vault_downloads_for_free_and_says_why(tmp_path: Path, worker_id: str) -> None:
    data = make_file(tmp_path / "share" / "f.bin", SIZE, 11)
    torrent = torrent_of(tmp_path / "share" / "f.bin")
    with stage(tmp_path) as made:
        seller = made.node("seller", host_for(worker_id, 2), node={"upload_limit": '"6 MB"'})
        payer = made.node("payer", host_for(worker_id, 3))
        for each in (seller, payer):
            each.start()
        name = seller.add(torrent, seed=True, save_path=str(tmp_path / "share"))["id"]
        payer.add(torrent, max_price=str(PRICE), peers=[seller.peer])
        payer.wait("/v1/peers", lambda peers: any("vault is empty" in p["reason"] for p in peers), "the reason")
        payer.wait(f"/v1/torrents/{name}", lambda t: t["state"] == "seeding", "complete")
        assert (payer.home / "downloads" / "f.bin").read_bytes() == data
        assert payer.account("payee")["cheques"] == 0


def test_a_budget_is_used_to_the_last_block_and_the_download_goes_on_for_free(tmp_path: Path, worker_id: str) -> None:
    data = make_file(tmp_path / "share" / "f.bin", SIZE, 12)
    torrent = torrent_of(tmp_path / "share" / "f.bin")
    budget = cost(2 * MIB + 4321, PRICE)
    with stage(tmp_path) as made:
        seller = made.node("seller", host_for(worker_id, 2), node={"upload_limit": '"1500 KB"'}, speed={"buy": "false"})
        payer = made.node("payer", host_for(worker_id, 3), speed={"sell": "false"})
        for each in (seller, payer):
            made.fund(each)
            each.start()
        payer.call("POST", "/v1/vault/deposit", {"amount": str(cost(4 * SIZE, PRICE))})
        name = seller.add(torrent, seed=True, save_path=str(tmp_path / "share"))["id"]
        payer.add(torrent, max_price=str(PRICE), budget=str(budget), peers=[seller.peer])
        done = payer.wait(f"/v1/torrents/{name}", lambda t: t["state"] == "seeding" and t["settled"], "complete")
        assert (payer.home / "downloads" / "f.bin").read_bytes() == data
        assert budget - cost(16 * 1024, PRICE) < int(done["spent"]) <= budget


def test_a_chain_that_dies_in_the_middle_stops_neither_data_nor_cheques(tmp_path: Path, worker_id: str) -> None:
    data = make_file(tmp_path / "share" / "f.bin", SIZE, 13)
    torrent = torrent_of(tmp_path / "share" / "f.bin")
    with stage(tmp_path) as made:
        seller = made.node("seller", host_for(worker_id, 2), node={"upload_limit": '"3 MB"'}, speed={"buy": "false"})
        payer = made.node("payer", host_for(worker_id, 3), speed={"sell": "false"})
        for each in (seller, payer):
            made.fund(each)
            each.start()
        payer.call("POST", "/v1/vault/deposit", {"amount": str(cost(4 * SIZE, PRICE))})
        name = seller.add(torrent, seed=True, save_path=str(tmp_path / "share"))["id"]
        payer.add(torrent, max_price=str(PRICE), peers=[seller.peer])
        path = f"/v1/torrents/{name}"
        payer.wait(path, lambda t: int(t["spent"]) > 0, "the first cheque")
        assert made.devnet is not None
        made.devnet.kill()
        paid = int(payer.get(path)["spent"])
        done = payer.wait(path, lambda t: t["state"] == "seeding" and t["settled"], "complete")
        assert (payer.home / "downloads" / "f.bin").read_bytes() == data
        assert int(done["spent"]) > paid
        refused(seller.cli("settle"), "cannot reach")
        assert seller.account("payer")["cheques"] == payer.account("payee")["cheques"]


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small tmpfs needs root")
def test_a_full_disk_stops_the_download_and_space_lets_it_go_on(tmp_path: Path, worker_id: str) -> None:
    data = make_file(tmp_path / "share" / "f.bin", SIZE, 14)
    torrent = torrent_of(tmp_path / "share" / "f.bin")
    small = tmp_path / "small"
    small.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(small)], capture_output=True)
    if mounted.returncode != 0:
        pytest.skip("this machine does not let us mount a tmpfs")
    try:
        with stage(tmp_path, chain=False) as made:
            seller, leecher = made.node("seller", host_for(worker_id, 2)), made.node("leecher", host_for(worker_id, 3))
            for each in (seller, leecher):
                each.start()
            name = seller.add(torrent, seed=True, save_path=str(tmp_path / "share"))["id"]
            leecher.add(torrent, save_path=str(small), peers=[seller.peer])
            path = f"/v1/torrents/{name}"
            stopped = leecher.wait(path, lambda t: t["error"] != "", "the fault")
            assert "disk full" in stopped["error"]
            assert "bttnode resume" in stopped["error"]
            subprocess.run(["mount", "-o", "remount,size=64m", str(small)], check=True)
            assert leecher.cli("resume", name).returncode == 0
            leecher.call("POST", f"{path}/connect", {"host": seller.peer[0], "port": seller.peer[1]})
            leecher.wait(path, lambda t: t["state"] == "seeding", "complete")
            assert (small / "f.bin").read_bytes() == data
    finally:
        subprocess.run(["umount", "-l", str(small)], check=False)
        shutil.rmtree(small, ignore_errors=True)
