"""Methods that look things up: blocks, transactions, accounts, contracts, TRC-10 assets, and the node itself.

What is not there is an empty object, as protocol buffers print an empty message. `/walletsolidity` sees blocks,
transactions and accounts as of the solidified block.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import islice

from node.devnet.tron import views
from node.devnet.tron.chain import TronChain
from node.devnet.tron.protojson import Json, text_in
from node.devnet.tron.records import Asset, Block, Mined, Resources
from node.devnet.tron.request import Handler, Request
from wallet.address import Address
from wallet.errors import AddressError

VERSION = "4.8.0"
"""The java-tron release whose answers these are; clients choose what they ask for by it."""
_P2P_VERSION = "1"
MAX_BLOCKS = 100
"""Blocks in one answer."""
_BLOCK_ID_DIGITS = 64
_NO_CONTRACT: Json = {"Error": "class java.lang.NullPointerException : null"}
"""What java-tron says of an address without a contract; clients wait for these words."""


# --- blocks ----------------------------------------------------------------------------------------------------------


def _last(chain: TronChain, request: Request) -> Block:
    return chain.solid if request.solid else chain.head


def _block_json(chain: TronChain, request: Request, block: Block | None, *, detail: bool = True) -> Json:
    if block is None or block.number > _last(chain, request).number:
        return {}
    transactions = [views.mined_json(mined, request.visible) for mined in chain.mined_in(block)] if detail else []
    return views.block_json(block, transactions, request.visible)


def _now_block(chain: TronChain, request: Request) -> Json:
    return _block_json(chain, request, _last(chain, request))


def _get_block(chain: TronChain, request: Request) -> Json:
    """`id_or_num`, or the latest one."""
    block: Block | None = _last(chain, request)
    if request.has("id_or_num"):
        wanted = request.parameters["id_or_num"]
        is_id = isinstance(wanted, str) and len(wanted) == _BLOCK_ID_DIGITS
        block = chain.block_by_id(request.id("id_or_num")) if is_id else chain.block(request.number("id_or_num"))
    return _block_json(chain, request, block, detail=request.flag("detail", False))


def _block_by_number(chain: TronChain, request: Request) -> Json:
    return _block_json(chain, request, chain.block(request.number("num", 0)))


def _block_by_id(chain: TronChain, request: Request) -> Json:
    return _block_json(chain, request, chain.block_by_id(request.id("value")))


def _block_list(chain: TronChain, request: Request, numbers: Sequence[int]) -> Json:
    blocks = [_block_json(chain, request, chain.block(number)) for number in numbers]
    return views.filled({"block": [block for block in blocks if block]})


def _blocks_between(chain: TronChain, request: Request) -> Json:
    """`startNum` up to, not including, `endNum`."""
    start, end = request.number("startNum", 0), request.number("endNum", 0)
    if not 0 < end - start <= MAX_BLOCKS:
        return {}
    return _block_list(chain, request, range(start, end))


def _latest_blocks(chain: TronChain, request: Request) -> Json:
    count = request.number("num", 0)
    last = _last(chain, request).number
    if not 0 < count < MAX_BLOCKS:
        return {}
    return _block_list(chain, request, range(max(0, last + 1 - count), last + 1))


# --- transactions ----------------------------------------------------------------------------------------------------


def _find(chain: TronChain, request: Request) -> Mined | None:
    mined = chain.mined(request.id("value"))
    return None if mined is None or mined.block > _last(chain, request).number else mined


def _transaction(chain: TronChain, request: Request) -> Json:
    mined = _find(chain, request)
    return {} if mined is None else views.mined_json(mined, request.visible)


def _waiting(chain: TronChain, request: Request) -> Json:
    waiting = chain.waiting(request.id("value"))
    return {} if waiting is None else views.broadcast_json(waiting, request.visible)


def _info(chain: TronChain, request: Request) -> Json:
    mined = _find(chain, request)
    return {} if mined is None else views.info_json(mined, chain.logs_of(mined.transaction.id), request.visible)


def _infos_of_block(chain: TronChain, request: Request) -> list[Json]:
    block = chain.block(request.number("num", 0))
    if block is None or block.number > _last(chain, request).number:
        return []
    return [
        views.info_json(mined, chain.logs_of(mined.transaction.id), request.visible) for mined in chain.mined_in(block)
    ]


def _count_of_block(chain: TronChain, request: Request) -> Json:
    block = chain.block(request.number("num", 0))
    known = block is not None and block.number <= _last(chain, request).number
    return {"count": len(block.transactions) if block is not None and known else -1}


# --- accounts and contracts ------------------------------------------------------------------------------------------


def account(chain: TronChain, request: Request) -> Json:
    address, at = request.address("address"), _last(chain, request)
    found = chain.account(address, at)
    if found is None:
        return {}
    issued = next((asset for asset in chain.assets() if asset.owner == address), None)
    return views.account_json(found, chain.resources(address, at), issued, request.visible)


def _net(chain: TronChain, request: Request) -> Json:
    found = _resources_of(chain, request)
    return {} if found is None else views.net_json(found)


def _resources(chain: TronChain, request: Request) -> Json:
    found = _resources_of(chain, request)
    return {} if found is None else views.resources_json(found)


def _resources_of(chain: TronChain, request: Request) -> Resources | None:
    address, at = request.address("address"), _last(chain, request)
    return None if chain.account(address, at) is None else chain.resources(address, at)


def _contract(chain: TronChain, request: Request) -> Json:
    found = chain.contract(request.address("value"))
    return _NO_CONTRACT if found is None else views.contract_json(found, request.visible)


def _contract_info(chain: TronChain, request: Request) -> Json:
    found = chain.contract(request.address("value"))
    return _NO_CONTRACT if found is None else views.contract_info_json(found, request.visible)


def _validate_address(_chain: TronChain, request: Request) -> Json:
    text = str(request.parameters.get("address") or "")
    try:
        address = Address.parse(text)
    except AddressError:
        return {"result": False, "message": "Invalid address"}
    form = {address.tron: "Base58check format", address.tron_hex: "Hex string format"}.get(text)
    return {"result": form is not None, "message": form or "Length error"}


# --- TRC-10 ----------------------------------------------------------------------------------------------------------


def _asset_list(assets: Sequence[Asset], visible: bool) -> Json:
    return views.filled({"assetIssue": [views.asset_json(asset, visible) for asset in assets]})


def _assets(chain: TronChain, request: Request) -> Json:
    return _asset_list(chain.assets(), request.visible)


def _assets_page(chain: TronChain, request: Request) -> Json:
    offset, limit = request.number("offset", 0), request.number("limit", 0, most=MAX_BLOCKS)
    return _asset_list(list(islice(chain.assets(), offset, offset + limit)), request.visible)


def _assets_of_account(chain: TronChain, request: Request) -> Json:
    owner = request.address("address")
    return _asset_list([asset for asset in chain.assets() if asset.owner == owner], request.visible)


def _asset_by_id(chain: TronChain, request: Request) -> Json:
    found = chain.asset(request.number("value"))
    return {} if found is None else views.asset_json(found, request.visible)


def _named(chain: TronChain, request: Request) -> list[Asset]:
    """By name; by number where no name is that."""
    wanted = text_in(request.parameters.get("value"), request.visible)
    assets = chain.assets()
    return [asset for asset in assets if asset.name == wanted] or [
        asset for asset in assets if str(asset.number).encode() == wanted
    ]


def _asset_by_name(chain: TronChain, request: Request) -> Json:
    found = _named(chain, request)
    return views.asset_json(found[0], request.visible) if found else {}


def _assets_by_name(chain: TronChain, request: Request) -> Json:
    return _asset_list(_named(chain, request), request.visible)


# --- the node --------------------------------------------------------------------------------------------------------


def _node_info(chain: TronChain, _request: Request) -> Json:
    def place(block: Block) -> str:
        return f"Num:{block.number},ID:{block.id.hex()}"

    return {
        "block": place(chain.head),
        "solidityBlock": place(chain.solid),
        "currentConnectCount": 0,
        "configNodeInfo": {"codeVersion": VERSION, "p2pVersion": _P2P_VERSION},
    }


def _parameters(chain: TronChain, _request: Request) -> Json:
    return views.parameters_json(chain.parameters())


METHODS: Mapping[str, Handler] = {
    "getnowblock": _now_block,
    "getblock": _get_block,
    "getblockbynum": _block_by_number,
    "getblockbyid": _block_by_id,
    "getblockbylimitnext": _blocks_between,
    "getblockbylatestnum": _latest_blocks,
    "gettransactionbyid": _transaction,
    "gettransactionfrompending": _waiting,
    "gettransactioninfobyid": _info,
    "gettransactioninfobyblocknum": _infos_of_block,
    "gettransactioncountbyblocknum": _count_of_block,
    "getaccount": account,
    "getaccountnet": _net,
    "getaccountresource": _resources,
    "getcontract": _contract,
    "getcontractinfo": _contract_info,
    "validateaddress": _validate_address,
    "getassetissuelist": _assets,
    "getpaginatedassetissuelist": _assets_page,
    "getassetissuebyaccount": _assets_of_account,
    "getassetissuebyid": _asset_by_id,
    "getassetissuebyname": _asset_by_name,
    "getassetissuelistbyname": _assets_by_name,
    "getnodeinfo": _node_info,
    "listnodes": lambda _chain, _request: {},
    "listwitnesses": lambda _chain, _request: {},
    "getchainparameters": _parameters,
    "getenergyprices": lambda chain, _request: {"prices": f"0:{chain.settings.energy_price}"},
    "getbandwidthprices": lambda chain, _request: {"prices": f"0:{chain.settings.bandwidth_price}"},
}
SOLID = frozenset(METHODS) - {"getcontract", "getcontractinfo", "validateaddress", "gettransactionfrompending"}
"""Methods that `/walletsolidity` has too."""
QUERY_ONLY = frozenset({"getassetissuelist", "listnodes", "listwitnesses"})
"""Methods that look for `visible` in the query alone, whatever a body says."""
