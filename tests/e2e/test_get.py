"""The command as the README has it: an estimate before, limits that hold, and a bill that adds up."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.e2e.stage import StageNode, host_for, make_file, stage
from tests.e2e.test_paid_download import torrent_of
from wallet.amount import MIB, cost, format_amount, parse_amount, parse_price

SIZE = 8 * MIB + 777
LIMITS = ("--max-price", "5/GiB", "--budget", "100")
HIGHEST = parse_price("5/GiB")


def bill_of(node: StageNode, torrent: str) -> dict[str, Any]:
    done = node.cli("--json", "bill", torrent)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_get_keeps_the_limits_and_shows_what_it_may_cost_and_what_it_did_cost(tmp_path: Path, worker_id: str) -> None:
    make_file(tmp_path / "share" / "f.bin", SIZE, 11)
    torrent = torrent_of(tmp_path / "share" / "f.bin")
    file = tmp_path / "f.torrent"
    file.write_bytes(torrent)
    with stage(tmp_path) as made:
        seller = made.node(
            "seller",
            host_for(worker_id, 2),
            node={"upload_limit": '"8 MB"'},
            speed={"buy": "false", "reserve_price": '"3/GiB"'},
        )
        payer = made.node("payer", host_for(worker_id, 3), speed={"sell": "false"})
        for node in (seller, payer):
            made.fund(node)
            node.start()
        payer.call("POST", "/v1/vault/deposit", {"amount": str(parse_amount("1000"))})
        name = seller.add(torrent, seed=True, save_path=str(tmp_path / "share"))["id"]

        done = payer.cli("get", str(file), "--deadline", "6s", *LIMITS, "--peer", "{}:{}".format(*seller.peer))
        assert done.returncode == 0, done.stderr
        before, _, after = done.stdout.partition("done f.bin")
        assert "your price  5 BTT/GiB at most" in before
        # Whether the seller has asked in time is up to the machine.
        assert "1 connected within that price" in before or "none known yet" in before
        assert f"at most {format_amount(cost(SIZE, HIGHEST))}" in before
        assert "time        " in before

        bill = bill_of(payer, name)
        (line,) = bill["lines"]
        assert (line["seller"], bill["settled"], bill["due"]) == (seller.address, True, "0")
        assert bill["amount"] == bill["paid"] == line["amount"] == str(seller.account("payer")["cheques"])
        assert line["bytes"] == bill["bytes"]
        assert bill["bytes"] + bill["free_bytes"] == SIZE
        assert 0 < int(line["amount"]) <= cost(line["bytes"], HIGHEST)
        assert parse_price("3/GiB") <= int(line["price"]) <= HIGHEST
        for shown in (seller.address, f"paid        {format_amount(int(line['amount']))}", "free  "):
            assert shown in after
        # A restart changes nothing: the bill is made of what is durable.
        payer.stop()
        payer.start()
        payer.wait(f"/v1/torrents/{name}", lambda t: t["state"] == "seeding", "seeding again")
        again = bill_of(payer, name)
        assert {key: again[key] for key in ("lines", "bytes", "paid", "amount")} == {
            key: bill[key] for key in ("lines", "bytes", "paid", "amount")
        }


def test_an_estimate_without_sellers_says_that_nobody_is_known(tmp_path: Path, worker_id: str) -> None:
    make_file(tmp_path / "share" / "f.bin", SIZE, 12)
    file = tmp_path / "f.torrent"
    file.write_bytes(torrent_of(tmp_path / "share" / "f.bin"))
    with stage(tmp_path, chain=False) as made:
        node = made.node("payer", host_for(worker_id, 2), speed={"sell": "false"})
        node.start()
        done = node.cli("get", str(file), "--deadline", "20m", *LIMITS, "--timeout", "0.1")
        assert "none known yet" in done.stdout
        assert f"at most {format_amount(cost(SIZE, HIGHEST))}" in done.stdout
        assert "20m" in done.stdout or "19m" in done.stdout
