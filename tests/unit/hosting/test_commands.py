"""What `bttnode host` shows of a host that works, and how it manages volumes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from click.testing import CliRunner

from node.cli.main import main
from node.http.hosting import HostingApi
from node.http.leaving import LeavingApi
from node.http.server import ApiServer, load_token, make_app
from node.ports.volumes import VolumeState
from node.services.host.hosting import Hosting
from tests.unit.hosting.kit import Bench, damage
from tests.unit.storage.samples import MARKET, Kept
from wallet.amount import BTT, format_amount

Run = Callable[..., Awaitable[str]]


@pytest.fixture
async def run(bench: Bench) -> AsyncIterator[Run]:
    """Runs a command against the bench's API; returns what it printed."""
    home = bench.folder / "home"
    home.mkdir()
    application = make_app(load_token(home / "api-token"))
    hosting = Hosting(bench.volumes, {"devnet": bench.host}, bench.store)
    application.add_routes(HostingApi(hosting, {"devnet": BTT}).routes())
    application.add_routes(LeavingApi(hosting, {"devnet": BTT}).routes())
    server = ApiServer(application, host="127.0.0.1", port=0, api_file=home / "api.json")
    await server.start()

    async def command(*arguments: str, code: int = 0) -> str:
        invoked = ["--home", str(home), "host", *arguments]
        result = await asyncio.to_thread(CliRunner().invoke, main, invoked, prog_name="bttnode")
        assert result.exit_code == code, result.output
        return result.output

    yield command
    await server.close()


async def test_contracts_money_and_reasons_are_shown_in_plain_words(bench: Bench, run: Run) -> None:
    contract = await bench.rented(Kept(50_000))
    bench.at(contract, 0)
    await bench.vouch(contract, 1)
    await bench.round()
    found = await run("contracts")
    assert "active" in found
    assert "1 vouched for, 1 paid, of 4 epochs" in found
    assert "1 contracts, 48.82 KiB stored" in await run("status")
    assert "collateral at stake" in await run("earnings")
    assert "nothing is wrong" in await run("why")
    damage(bench, contract, 0)
    await bench.host.selfcheck.look()
    await bench.round()
    assert "damaged" in await run("why")
    assert "has changed on the disk" in await run("contracts")
    assert "sick" in await run("volumes")


async def test_volumes_are_managed_by_name(bench: Bench, run: Run) -> None:
    folder = bench.folder / "more"
    await asyncio.to_thread(folder.mkdir)
    name = (await run("volume", "add", str(folder), "--quota", "1 GiB")).split()[0]
    assert "of 2 GiB used" in await run("volume", "resize", name, "--quota", "2 GiB")
    assert "draining" in await run("volume", "drain", name)
    assert "online" in await run("volume", "drain", name, "--off")
    assert "0 damaged shards" in await run("volume", "check", name)
    assert "removed" in await run("volume", "remove", name)
    assert "there is no volume" in await run("volume", "drain", name, code=1)
    assert "is no volume" in await run("volume", "drain", "../x", code=1)


async def test_leaving_shows_its_price_before_it_asks(bench: Bench, run: Run) -> None:
    contract = await bench.rented(Kept(50_000), epochs=10)
    bench.at(contract, 0)
    name = contract.digest(MARKET).hex()
    shown = await run("exit", "--contract", name[:10], "--within", "20m", code=1)
    fee = format_amount(contract.exit_fee(3), BTT)
    assert f"alone for at most {fee}" in shown
    assert fee in await run("exit", "--contract", name[:10].upper(), "--within", "20m", "--dry-run")
    assert not bench.record(contract).leaving
    await run("exit", "--all", "--within", "20m", "--yes")
    assert bench.record(contract).exit_at == bench.clock.wall() + 1200
    assert "to be handed over" in await run("contracts")
    (volume,) = await bench.volumes.volumes()
    assert volume.state is VolumeState.DRAINING
    assert f"host exit --volume {volume.id}" in await run("volume", "drain", volume.id)
    assert "1 contracts are kept after all" in await run("exit", "--volume", volume.id, "--stay")
    assert "which contracts" in await run("exit", code=1)
    assert "no contract that runs" in await run("exit", "--contract", "zz", "--yes", code=1)
