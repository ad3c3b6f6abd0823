"""BTFS's cheques in the local API.

| method and path             | does                                                                            |
|-----------------------------|---------------------------------------------------------------------------------|
| POST /v1/btfs/receive       | take a peer's cheque, after all checks                                          |
| GET  /v1/btfs/cheques?rail= | the latest cheques, received and issued                                         |
| POST /v1/btfs/cash          | cash one vault's cheques or all; with `dry_run` only what they bring and cost   |
| POST /v1/btfs/issue         | a cheque on our own vault, for the caller to hand over                          |

A `rail` is named where several have BTFS's vaults. An answer to `issue` that was lost is no reason to issue again:
`cheques` has every cheque as it was issued.
"""

from __future__ import annotations

from collections.abc import Sequence

from aiohttp import web

from node.daemon import Daemon
from node.http import models
from node.http.money import result
from node.http.requests import answer, read_body
from node.services.btfs import Btfs, Cashable, Cashed
from node.services.wallet import Purse, UnknownAssetError
from wallet.address import Address
from wallet.amount import format_amount, parse_amount
from wallet.chains.base import ChainError


class BtfsApi:
    """The handlers."""

    def __init__(self, daemon: Daemon) -> None:
        self._daemon = daemon

    def routes(self) -> list[web.RouteDef]:
        return [
            web.post("/v1/btfs/receive", self.receive),
            web.get("/v1/btfs/cheques", self.cheques),
            web.post("/v1/btfs/cash", self.cash),
            web.post("/v1/btfs/issue", self.issue),
        ]

    async def receive(self, request: web.Request) -> web.Response:
        body = await read_body(request, models.BtfsReceiveBody)
        btfs, purse = self._btfs(body.rail)
        received = await btfs.receive(body.cheque.encode(errors="replace"), caller=request.remote or "")
        token = btfs.token(received.cheque.token)
        return answer(
            models.BtfsReceived(
                rail=purse.name,
                vault=received.cheque.vault.evm,
                gain=received.gain,
                symbol=token.symbol,
                decimals=token.decimals,
            )
        )

    async def cheques(self, request: web.Request) -> web.Response:
        rail = request.query.get("rail")
        names = list(self._daemon.btfs) if rail is None else [self._btfs(rail)[1].name]
        rows = []
        for name in names:
            btfs = self._daemon.btfs[name]
            for record in await btfs.cheques():
                token = btfs.token(record.token)
                row = models.BtfsCheque(
                    rail=name,
                    role=record.role.value,
                    vault=record.vault.evm,
                    beneficiary=record.beneficiary.evm,
                    symbol=token.symbol,
                    decimals=token.decimals,
                    cumulative=record.cumulative,
                    cashed=record.cashed,
                    time=record.updated_at,
                    cheque=btfs.encoded(record).decode(),
                )
                rows.append(row.model_dump())
        return web.json_response(rows)

    async def cash(self, request: web.Request) -> web.Response:
        body = await read_body(request, models.BtfsCashBody)
        btfs, purse = self._btfs(body.rail)
        plan = await btfs.plan(None if body.vault is None else _address(body.vault))
        fee = sum(cashable.fee.total for cashable in plan if cashable.fee is not None)
        native = purse.chain.native
        if body.max_fee is not None and fee > body.max_fee:
            raise ChainError(
                f"the fees of up to {format_amount(fee, native)} are above the {format_amount(body.max_fee, native)} "
                "that you allowed"
            )
        outcomes: Sequence[Cashed | Cashable] = plan if body.dry_run else await btfs.cash(plan)
        return answer(
            models.BtfsCashing(
                rail=purse.name,
                label=purse.label,
                cheques=[_line(btfs, purse, outcome) for outcome in outcomes],
                fee=fee,
                fee_symbol=native.symbol,
                fee_decimals=native.decimals,
            )
        )

    async def issue(self, request: web.Request) -> web.Response:
        body = await read_body(request, models.BtfsIssueBody)
        btfs, purse = self._btfs(body.rail)
        contract = None if body.token is None else _address(body.token)
        amount = parse_amount(body.amount, btfs.token(None if contract == btfs.wbtt else contract))
        issued = await btfs.issue(
            _address(body.vault), _address(body.beneficiary), amount, contract, caller=request.remote or ""
        )
        return answer(models.BtfsIssued(rail=purse.name, cheque=issued.decode()))

    def _btfs(self, rail: str | None) -> tuple[Btfs, Purse]:
        """The named rail, or the only one that has BTFS's vaults. Raises `UnknownAssetError`."""
        found, wallet = self._daemon.btfs, self._daemon.wallet
        if not found:
            raise UnknownAssetError("no configured rail knows BTFS's factory: set [rail.NAME] btfs_factory")
        purse = wallet.purse(next(iter(found)) if rail is None and len(found) == 1 else rail)
        if purse.name not in found:
            raise UnknownAssetError(f"{purse.name} knows no factory of BTFS's vaults: choose one of {', '.join(found)}")
        return found[purse.name], purse


def _address(text: str) -> Address:
    return Address.parse_on(text, tron=False)


def _line(btfs: Btfs, purse: Purse, outcome: Cashed | Cashable) -> models.BtfsCashLine:
    cashed = outcome if isinstance(outcome, Cashed) else None
    cashable = outcome.cashable if isinstance(outcome, Cashed) else outcome
    cheque = cashable.signed.cheque
    token = btfs.token(cheque.token)
    return models.BtfsCashLine(
        vault=cheque.vault.evm,
        symbol=token.symbol,
        decimals=token.decimals,
        due=cashable.due,
        payout=cashable.payout,
        fee=None if cashable.fee is None else cashable.fee.total,
        note=(cashed.fault if cashed else "") or cashable.note,
        paid=cashed.amount if cashed else None,
        transaction=result(cashed.done, purse) if cashed and cashed.done else None,
    )
