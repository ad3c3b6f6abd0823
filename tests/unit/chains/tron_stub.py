"""A java-tron on loopback that answers what a test tells it to."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from tests.unit.chains.stub import TOKEN, VAULT, Stub, Waits
from wallet.address import Address
from wallet.amount import BTT, Token
from wallet.chains.base import Call, Fee, SignedTx, UnsignedTx
from wallet.chains.tron import TronChain, TronSettings
from wallet.chains.tron_raw import Anchor, sign_tron
from wallet.cheque import Rail
from wallet.keys import PrivateKey

TRX = Token("TRX", 6)
CHAIN_ID = 0x2B6653DC
TRON = Rail("tron:0x2b6653dc", CHAIN_ID, VAULT, BTT)
KEY = PrivateKey(b"\x01" * 32)
ME, YOU = KEY.address, Address(b"\x02" * 20)
NOW = 1_700_000_000
"""The newest block's time in seconds, and what this machine's clock says unless a test sets it."""
HEAD, SOLID = 1000, 981


def block_id(number: int, fork: int = 0xAB) -> bytes:
    return number.to_bytes(8, "big") + bytes([fork]) * 24


def block(number: int, fork: int = 0xAB) -> dict[str, Any]:
    """Three seconds to a block, the head at NOW."""
    raw = {"number": number, "timestamp": block_time(number), "parentHash": block_id(max(0, number - 1)).hex()}
    return {"blockID": block_id(number, fork).hex(), "block_header": {"raw_data": raw, "witness_signature": "00" * 65}}


def block_time(number: int) -> int:
    return (NOW - 3 * (HEAD - number)) * 1000


def info(transaction: bytes, number: int, **changes: Any) -> dict[str, Any]:
    """A successful contract call that took 500 units of energy, 50000 sun."""
    found: dict[str, Any] = {
        "id": transaction.hex(),
        "fee": 50_000,
        "blockNumber": number,
        "blockTimeStamp": block_time(number),
        "contractResult": [""],
        "contract_address": VAULT.tron_hex,
        "receipt": {"energy_usage_total": 500, "energy_fee": 50_000, "net_usage": 345, "result": "SUCCESS"},
    }
    return found | changes


def log(address: Address, *topics: bytes, data: bytes = b"") -> dict[str, Any]:
    return {"address": address.raw.hex(), "topics": [topic.hex() for topic in topics], "data": data.hex()}


class TronStub(Stub):
    """`answers`: path → result, a function of the parameters, or an `aiohttp` response. `told`: what was asked."""

    def __init__(self) -> None:
        super().__init__()
        self.told: list[tuple[str, dict[str, Any]]] = []
        self.keys: list[str | None] = []
        genesis = block(0) | {"blockID": (bytes(28) + CHAIN_ID.to_bytes(4, "big")).hex()}
        del genesis["block_header"]["raw_data"]["number"]  # java-tron leaves zeros out
        self.answers = {
            "wallet/getblockbynum": genesis,
            "wallet/getblock": self.get_block,
            "walletsolidity/getblock": block(SOLID),
            "wallet/getaccount": {"address": ME.tron_hex, "balance": 10**9},
            "wallet/getaccountresource": {"freeNetLimit": 600, "TotalNetLimit": 43_200_000_000},
            "wallet/getchainparameters": {
                "chainParameter": [
                    {"key": "getEnergyFee", "value": 100},
                    {"key": "getTransactionFee", "value": 1000},
                    {"key": "getCreateAccountFee", "value": 100_000},
                    {"key": "getCreateNewAccountFeeInSystemContract", "value": 1_000_000},
                    {"key": "getMaxFeeLimit", "value": 15_000_000_000},
                    {"key": "getAllowMultiSign"},
                ]
            },
            "wallet/createtransaction": {"txID": "00" * 32, "raw_data": {}},
            "wallet/transferasset": {"txID": "00" * 32, "raw_data": {}},
            "wallet/triggerconstantcontract": {
                "result": {"result": True},
                "energy_used": 1000,
                "constant_result": ["00" * 31 + "07" + "00" * 32],
                "transaction": {"ret": [{}]},
            },
            "wallet/gettransactioninfobyid": {},
            "wallet/gettransactionbyid": {},
            "wallet/gettransactioninfobyblocknum": [],
            "wallet/broadcasthex": {"result": True, "code": "SUCCESS", "txid": "00" * 32},
        }

    def get_block(self, body: dict[str, Any]) -> dict[str, Any]:
        number = int(body.get("id_or_num", HEAD))
        return block(number) if number <= HEAD else {}

    async def handle(self, request: web.Request) -> web.StreamResponse:
        path = request.path.lstrip("/")
        parameters = dict(request.query) if request.method == "GET" else await request.json()
        self.asked.append(path)
        self.told.append((path, parameters))
        self.keys.append(request.headers.get("TRON-PRO-API-KEY"))
        if self.reply is not None and path != "wallet/getblockbynum":
            return await self.reply(request)
        if path not in self.answers:
            raise web.HTTPNotFound
        answer = self.answers[path]
        if callable(answer):
            answer = answer(parameters)
        if isinstance(answer, web.Response):
            return answer
        return web.json_response(answer)


def tron_at(
    *urls: str,
    waits: Waits | None = None,
    timeout: float = 5.0,
    max_fee: int | None = None,
    api_key: str = "",
    wall: float = NOW,
) -> TronChain:
    waits = waits or Waits()
    settings = TronSettings(TRON, TRX, TOKEN, urls, api_key=api_key, timeout=timeout, max_fee=max_fee)
    return TronChain(settings, clock=waits.clock, sleep=waits.sleep, wall=lambda: wall)


def signed(expiration: int = NOW + 60) -> SignedTx:
    """A transfer of 1 sun that expires then (seconds)."""
    anchor = Anchor.at(block_id(SOLID), expiration=expiration * 1000, timestamp=NOW * 1000)
    return sign_tron(UnsignedTx(Call(YOU, b"", 1, "transfer", "send"), ME, 0, Fee(0, 100), anchor.pack()), KEY)
