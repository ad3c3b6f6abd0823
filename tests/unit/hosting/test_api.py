"""Other nodes and the owner reach a host over HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from aiohttp import ClientSession, web

from node.http.hostapi import HostApi
from node.http.hosting import HostingApi, no_routes
from node.http.peers import PeerServer
from node.http.server import make_app
from node.peerapi.client import HttpPeerApi
from node.ports.peerapi import Peer, PeerRefusedError
from node.services.host.hosting import Hosting
from node.storage.audit import Answer, Verdict, judge
from node.storage.label import MAX_LABEL
from node.storage.messages import AnswerBody, Consent, LabelCall, Quote, RecallCall, Recalled, Taken, VoucherCall
from node.storage.terms import Wish, offer
from tests.unit.hosting.kit import Bench, challenge_call, proposal
from tests.unit.storage.samples import HOST, MARKET, RENTER, Kept
from wallet.amount import BTT
from wallet.chains.base import ChainUnreachableError
from wallet.storage_terms import Voucher, sign, verify

SHARD = Kept(70_000)
TOKEN = "t" * 43


async def serve(application: web.Application) -> tuple[web.AppRunner, str]:
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    return runner, f"http://127.0.0.1:{runner.addresses[0][1]}"


@pytest.fixture
async def host(bench: Bench) -> AsyncIterator[Peer]:
    runner, url = await serve(PeerServer(HostApi([bench.host]).routes(), HOST, bench.clock).application())
    yield Peer(HOST.address, url)
    await runner.cleanup()


@pytest.fixture
async def renter(bench: Bench) -> AsyncIterator[HttpPeerApi]:
    numbers = iter(range(1 << 20))
    api = HttpPeerApi(RENTER, bench.clock, nonce=lambda size: next(numbers).to_bytes(size), local=True)
    yield api
    await api.close()


async def test_a_renter_and_a_host_agree_audit_and_pay_over_http(bench: Bench, host: Peer, renter: HttpPeerApi) -> None:
    quote = Quote.parse(await renter.ask(host, "/storage/v1/terms", {}))
    verify(MARKET, quote.table, quote.signature, HOST.address)
    start = bench.clock.wall() + 900
    wish = Wish(SHARD.contract.root, SHARD.contract.length, RENTER.address, start, 4, 1)
    contract = offer(quote.table, wish)
    bench.engine.swarm[contract.root.hex()] = SHARD.data
    consent = Consent.parse(await renter.ask(host, "/storage/v1/propose", proposal(contract).body()))
    verify(MARKET, contract, consent.signature, HOST.address)
    bench.market.open(contract)
    await bench.round(4)
    bench.at(contract, 0)
    call = challenge_call(contract, bench.clock.wall(), 3, 1)
    body = AnswerBody.parse(await renter.ask(host, "/storage/v1/challenge", call.body()))
    answer = Answer(call.challenge.digest(MARKET), body.proofs)
    found = judge(MARKET, contract, call.challenge, answer, body.signature, bench.clock.wall())
    assert found.verdict is Verdict.PASSED
    voucher = Voucher(contract.digest(MARKET), 1)
    paid = VoucherCall(voucher, sign(MARKET, voucher, RENTER))
    taken = Taken.parse(await renter.ask(host, "/storage/v1/voucher", paid.body()))
    assert taken == Taken(contract.price_per_epoch, leaving=0)
    await bench.host.contracts.change(contract.digest(MARKET), leaving=1, exit_at=bench.clock.wall() + 7)
    taken = Taken.parse(await renter.ask(host, "/storage/v1/voucher", paid.body()))
    assert taken == Taken(0, leaving=bench.clock.wall() + 7), "who pays hears that the host would like to go"


@pytest.mark.parametrize(
    ("path", "body", "code"),
    [
        ("terms", {"market": {"chain_id": "1", "contract": "0x" + "11" * 20}}, "market"),
        ("terms", {"market": 7}, "malformed"),
        ("propose", {"contract": "0x00"}, "malformed"),
        ("voucher", VoucherCall(Voucher(bytes(32), 1), bytes(65)).body(), "unknown"),
    ],
)
async def test_a_no_names_its_reason(host: Peer, renter: HttpPeerApi, path: str, body: object, code: str) -> None:
    with pytest.raises(PeerRefusedError) as error:
        await renter.ask(host, f"/storage/v1/{path}", body)  # type: ignore[arg-type] # bodies as strangers send them
    assert error.value.code == code


async def test_the_longest_label_goes_there_and_back(bench: Bench, host: Peer, renter: HttpPeerApi) -> None:
    contract = await bench.rented(SHARD)
    call = LabelCall(contract.digest(MARKET), 2**53 - 1, bytes(range(256)) * (MAX_LABEL // 256))
    assert await renter.ask(host, "/storage/v1/label", call.body()) == {}
    said = Recalled.parse(await renter.ask(host, "/storage/v1/recall", RecallCall(call.id).body()))
    assert (said.number, said.data) == (call.number, call.data)
    verify(MARKET, contract, said.signature, HOST.address)


async def test_faults_of_this_machine_are_not_told_to_strangers(bench: Bench, host: Peer, renter: HttpPeerApi) -> None:
    offered = await bench.offered(SHARD)
    bench.market.away = ChainUnreachableError("no answer from https://endpoint/secret-key")
    with pytest.raises(PeerRefusedError) as error:
        await renter.ask(host, "/storage/v1/propose", offered.body())
    assert (error.value.code, "secret" in str(error.value)) == ("busy", False)


@pytest.fixture
async def owner(bench: Bench) -> AsyncIterator[ClientSession]:
    application = make_app(TOKEN)
    application.add_routes(
        HostingApi(Hosting(bench.volumes, {"devnet": bench.host}, bench.store), {"devnet": BTT}).routes()
    )
    runner, url = await serve(application)
    async with ClientSession(url, headers={"Authorization": f"Bearer {TOKEN}"}) as session:
        yield session
    await runner.cleanup()


async def test_the_owner_sees_contracts_money_and_reasons(bench: Bench, owner: ClientSession) -> None:
    contract = await bench.rented(SHARD)
    bench.at(contract, 0)
    await bench.vouch(contract, 1)
    async with owner.get("/v1/host") as answer:
        (line,) = await answer.json()
    assert (line["contracts"], line["stored"]) == (1, contract.length)
    assert line["money"]["pending"] == str(contract.price_per_epoch)
    assert line["money"]["at_stake"] == str(contract.collateral)
    async with owner.get("/v1/host/contracts") as answer:
        (row,) = await answer.json()
    assert (row["state"], row["voucher"], row["paid"], row["epoch"]) == ("active", 1, 0, 0)


async def test_the_owner_manages_volumes(bench: Bench, owner: ClientSession) -> None:
    folder = bench.folder / "second"
    await asyncio.to_thread(folder.mkdir)
    async with owner.post("/v1/host/volumes", json={"path": str(folder), "quota": 10**6}) as answer:
        volume = (await answer.json())["id"]
    async with owner.post(f"/v1/host/volumes/{volume}", json={"quota": 2 * 10**6, "draining": True}) as answer:
        changed = await answer.json()
        assert (changed["quota"], changed["state"], changed["room"]) == (2 * 10**6, "draining", 0)
    async with owner.post(f"/v1/host/volumes/{volume}/check") as answer:
        assert (await answer.json())["healed"] == []
    async with owner.delete(f"/v1/host/volumes/{volume}") as answer:
        assert await answer.json() == {"removed": volume}
    async with owner.delete("/v1/host/volumes/nothing") as answer:
        assert answer.status == 404
    async with owner.post("/v1/host/volumes/x", json={}) as answer:
        assert answer.status == 400


async def test_a_new_volume_takes_offers_at_once(bench: Bench, owner: ClientSession) -> None:
    """Nobody who has just added a disk wants to read that there is none."""
    (first,) = await bench.volumes.volumes()
    await bench.volumes.remove(first.id)
    await bench.round()
    assert any("no volume" in reason for reason in await bench.host.why())
    folder = bench.folder / "new"
    await asyncio.to_thread(folder.mkdir)
    async with owner.post("/v1/host/volumes", json={"path": str(folder), "quota": 10**6}) as answer:
        assert answer.status == 200
    assert not any("no volume" in reason for reason in await bench.host.why())
    await bench.host.propose(RENTER.address, await bench.offered(SHARD))


async def test_a_volume_that_is_not_there_is_a_fault_of_the_asker(owner: ClientSession) -> None:
    async with owner.post("/v1/host/volumes/nothing/check") as answer:
        assert answer.status == 404


async def test_a_node_that_does_not_host_says_how_it_would() -> None:
    application = make_app(TOKEN)
    application.add_routes(no_routes())
    runner, url = await serve(application)
    headers = {"Authorization": f"Bearer {TOKEN}"}
    async with ClientSession(url, headers=headers) as session, session.get("/v1/host/volumes") as answer:
        assert answer.status == 409
        assert "[storage] host = true" in (await answer.json())["error"]
    await runner.cleanup()
