"""The local API and the command line over a renter: what a user types, and what comes back."""

from __future__ import annotations

import asyncio
import json
from base64 import b64decode, b64encode
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from click.testing import CliRunner, Result

from node.cli.client import Client
from node.cli.main import main
from node.http.evidence import EvidenceApi
from node.http.knownhosts import KnownHostsApi
from node.http.renting import RentingApi
from node.http.server import make_app
from node.ports.renting import Stage
from node.services.renter.renting import Renting
from node.services.renter.transfer import EngineCarrier
from tests.unit.packing.kit import make_tree, snapshot
from tests.unit.renter.kit import World

TOKEN = "t" * 43


class Node:
    """A world with an API in front of its renter."""

    def __init__(self, world: World, client: TestClient[web.Request, web.Application]) -> None:
        self.world = world
        self.client = client

    async def ask(self, method: str, path: str, body: Any = None, *, status: int = 200) -> Any:
        async with self.client.request(method, path, json=body, headers={"Authorization": f"Bearer {TOKEN}"}) as answer:
            assert answer.status == status, await answer.text()
            return await answer.json()

    async def store(self, tmp_path: Path, **options: object) -> str:
        source = make_tree(tmp_path / "source", {"a": 70_000, "b/c": 1})
        made = await self.ask("POST", "/v1/storage", {"path": str(source), "k": 3, "n": 6, "days": 10} | options)
        await self.world.until(lambda: self.world.store.kept[made["id"]].stage is Stage.KEPT)
        return str(made["id"])

    async def restored(self, body: dict[str, object]) -> dict[str, Any]:
        status = await self.ask("POST", "/v1/restores", body)
        async with asyncio.timeout(30):
            while not status["finished"]:
                await asyncio.sleep(0.01)
                status = await self.ask("GET", f"/v1/restores/{status['number']}")
        return dict(status)


@pytest.fixture
async def node(tmp_path: Path) -> AsyncIterator[Node]:
    world = World(tmp_path, 6)

    async def closed() -> None: ...

    carrier = EngineCarrier(None, list)  # type: ignore[arg-type] # the world copies files, no engine is asked
    app = make_app(TOKEN)
    renting = Renting(world.renter, carrier, closed)
    app.add_routes([*RentingApi(renting).routes(), *KnownHostsApi(renting).routes(), *EvidenceApi(renting).routes()])
    async with TestClient(TestServer(app)) as client:
        yield Node(world, client)
    await world.renter.close()


async def test_what_is_stored_is_listed_and_comes_back(node: Node, tmp_path: Path) -> None:
    name = await node.store(tmp_path)
    (listed,) = (await node.ask("GET", "/v1/storage"))["objects"]
    assert (listed["id"], listed["good"], listed["stage"], listed["size"]) == (name, 6, "kept", 70_001)
    assert [kept["shard"] for kept in listed["contracts"]] == list(range(6))
    assert int(listed["locked"]) == node.world.market.locked
    status = await node.restored({"id": name[:6], "out": str(tmp_path / "back")})
    assert (status["fault"], status["done"]) == ("", 70_001)
    assert snapshot(tmp_path / "back") == snapshot(tmp_path / "source")


async def test_the_manifest_file_restores_too_and_a_broken_one_is_refused(node: Node, tmp_path: Path) -> None:
    manifest = (await node.ask("GET", f"/v1/storage/{await node.store(tmp_path)}/manifest"))["manifest"]
    await node.restored({"manifest": manifest, "out": str(tmp_path / "back")})
    assert snapshot(tmp_path / "back") == snapshot(tmp_path / "source")
    broken = b64encode(b64decode(manifest)[:-1]).decode()
    assert "does not open" in (await node.restored({"manifest": broken, "out": str(tmp_path / "x")}))["fault"]
    assert "exists" in (await node.restored({"manifest": manifest, "out": str(tmp_path / "back")}))["fault"]


async def test_an_estimate_is_given_for_the_same_body_and_stores_nothing(node: Node, tmp_path: Path) -> None:
    source = make_tree(tmp_path / "source", {"a": 70_000})
    body = {"path": str(source), "k": 3, "n": 6, "days": 10}
    found = await node.ask("POST", "/v1/storage/estimate", body)
    assert (found["size"], found["shards"], found["notes"]) == (70_000, 6, [])
    assert int(found["escrow"]) == sum(int(each["escrow"]) for each in found["hosts"]) > 0
    assert (await node.ask("GET", "/v1/storage"))["objects"] == []


async def test_verify_gives_evidence_that_holds(node: Node, tmp_path: Path) -> None:
    name = await node.store(tmp_path)
    verdicts = (await node.ask("POST", f"/v1/storage/{name}/verify"))["verdicts"]
    assert [each["verdict"] for each in verdicts] == ["passed"] * 6
    bundle = tmp_path / "bundle"
    bundle.write_bytes(b64decode(verdicts[0]["evidence"]))
    said = evidence_check(bundle)
    assert (said.exit_code, json.loads(said.stdout)["host"]) == (0, verdicts[0]["host"])


async def test_renew_and_forget_are_remembered(node: Node, tmp_path: Path) -> None:
    name = await node.store(tmp_path)
    assert (await node.ask("POST", f"/v1/storage/{name}/renew", {"on": False}))["renew"] is False
    assert (await node.ask("POST", f"/v1/storage/{name}/forget"))["stage"] == "forgotten"
    await node.world.until(lambda: not node.world.store.kept)
    assert (await node.ask("GET", "/v1/storage"))["objects"] == []


async def test_an_auditors_contracts_are_handed_over_as_json(node: Node, tmp_path: Path) -> None:
    name = await node.store(tmp_path, auditor="0x" + "03" * 20)
    found = await node.ask("GET", f"/v1/storage/{name}/auditor")
    assert len(found["contracts"]) == 6
    said = await node.ask("POST", "/v1/audits", found, status=400)
    assert "not this node" in said["error"]
    await node.ask("POST", "/v1/audits", {"contracts": [{}]}, status=400)


async def test_what_was_found_again_is_listed_with_what_was_not(node: Node, tmp_path: Path) -> None:
    await node.ask("GET", "/v1/recovery", status=400)
    name = await node.store(tmp_path)
    await node.world.turn(times=2)
    (listed,) = (await node.ask("GET", "/v1/storage"))["objects"]
    assert listed["labelled"] == 6
    status = await node.ask("POST", "/v1/recovery")
    async with asyncio.timeout(30):
        while not status["finished"]:
            await asyncio.sleep(0.01)
            status = await node.ask("GET", "/v1/recovery")
    (found,) = status["objects"]
    assert (found["id"], found["shards"], found["silent"], found["new"]) == (name, 6, 0, False)
    assert (status["lost"], status["faults"]) == ([], [])


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("GET", "/v1/storage/ab", None, 404),
        ("POST", "/v1/storage", {"path": "relative"}, 400),
        ("POST", "/v1/storage", {"path": "/nowhere/at/all"}, 400),
        ("POST", "/v1/storage", {"path": "/", "k": 3, "n": 3}, 400),
        ("POST", "/v1/storage", {"path": "/", "auditor": "nobody"}, 400),
        ("POST", "/v1/restores", {"out": "/x"}, 400),
        ("POST", "/v1/restores", {"out": "/x", "manifest": "%"}, 400),
        ("GET", "/v1/restores/7", None, 400),
        ("GET", "/v1/restores/x", None, 400),
    ],
)
async def test_bad_requests_are_answered_in_one_line(
    node: Node, method: str, path: str, body: object, status: int
) -> None:
    answer = await node.ask(method, path, body, status=status)
    assert answer["error"]
    assert "\n" not in answer["error"]


def evidence_check(file: Path) -> Result:
    return CliRunner().invoke(main, ["--json", "evidence", "check", str(file)], prog_name="bttnode")


async def test_evidence_that_was_changed_is_refused(node: Node, tmp_path: Path) -> None:
    name = await node.store(tmp_path)
    verdicts = (await node.ask("POST", f"/v1/storage/{name}/verify"))["verdicts"]
    bundle = b64decode(verdicts[0]["evidence"])
    for data in (b"", b"d1:ai1ee", bundle[:-1], bundle.replace(b"passed", b"silent")):
        (tmp_path / "bundle").write_bytes(data)
        said = evidence_check(tmp_path / "bundle")
        assert said.exit_code == 1
        assert "evidence" in said.stderr
        assert said.stderr.count("\n") == 1


async def test_hosts_are_shown_before_anything_is_stored(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    node.world.hosts[5].alive = False
    rows = (await node.ask("POST", "/v1/hosts", {"length": 2**20, "days": 5}))["hosts"]
    assert len(rows) == 6
    assert [row["avoided"] for row in rows[:5]] == [""] * 5
    assert (rows[0]["score"], rows[0]["experience"], rows[0]["prices"]["storage"]) == (500, None, str(10**15))
    assert rows[5]["prices"] is None
    assert "no answer" in rows[5]["avoided"]
    await node.ask("POST", "/v1/hosts", {"rail": "nowhere"}, status=400)
    monkeypatch.setattr(Client, "post", lambda self, path, body=None: {"hosts": rows})
    said = CliRunner().invoke(main, ["hosts", "--size", "1 MiB", "--max-price", "10/GiB/day"], prog_name="bttnode")
    assert said.exit_code == 0, said.output
    assert " 500  0x" in said.output
    assert "0.001 BTT per GiB and day, 1 TiB free" in said.output
    assert "never tried" in said.output
    assert said.output.count("avoided") == 1


async def test_verdicts_are_listed_and_their_evidence_is_handed_out_and_taken(
    node: Node, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = await node.store(tmp_path)
    host = node.world.hosts[0]
    (terms,) = host.contracts.values()
    host.corrupt(terms.root)
    await node.ask("POST", f"/v1/storage/{name}/verify")
    rows = (await node.ask("GET", f"/v1/evidence?name={name[:8]}"))["verdicts"]
    assert [row["verdict"] for row in rows].count("wrong") == 1
    (wrong,) = (await node.ask("GET", "/v1/evidence?faults=1"))["verdicts"]
    assert (wrong["host"], wrong["object"], wrong["evidence"]) == (host.key.address.evm, name, True)
    bundle = await node.ask("GET", f"/v1/evidence/{wrong['contract']}/{wrong['at']}")
    assert (await node.ask("POST", "/v1/evidence", bundle))["verdict"] == "wrong"
    await node.ask("POST", "/v1/evidence", {"bundle": bundle["bundle"][:40]}, status=400)
    await node.ask("GET", f"/v1/evidence/{wrong['contract']}/1", status=404)
    await node.ask("GET", "/v1/evidence?name=..", status=400)

    answers = {
        "/v1/evidence?name=&faults=1": {"verdicts": [wrong]},
        f"/v1/evidence/{wrong['contract']}/{wrong['at']}": bundle,
    }
    monkeypatch.setattr(Client, "get", lambda self, path: answers[path])
    monkeypatch.setattr(Client, "post", lambda self, path, body=None: wrong if body == bundle else None)
    run = CliRunner().invoke
    assert "evidence kept" in run(main, ["evidence", "list", "--faults"], prog_name="bttnode").output
    assert (
        "1 bundles" in run(main, ["evidence", "export", str(tmp_path / "out"), "--faults"], prog_name="bttnode").output
    )
    (file,) = (tmp_path / "out").iterdir()
    assert evidence_check(file).exit_code == 0
    assert name in run(main, ["evidence", "take", str(file)], prog_name="bttnode").output
