"""The operations that are not contract runs: what each demands and does, in java-tron's words.

An actuator looks at the state after bandwidth has been paid, raises `RejectedError` or changes the state, and returns
the fee it burnt beyond that.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, NoReturn

from node.devnet.tron.records import (
    AccountCreate,
    Asset,
    AssetIssue,
    Code,
    Freeze,
    RejectedError,
    Resource,
    Transfer,
    TransferAsset,
    Unfreeze,
)
from node.devnet.tron.resources import MAX_UNSTAKING, ResourceBook
from node.devnet.tron.settings import TRX, TronSettings
from node.devnet.tron.state import FIRST_ASSET, MAX_AMOUNT, TronState

MAX_DECIMALS = 6
_NAME_BYTES, _URL_BYTES, _DESCRIPTION_BYTES = 32, 256, 200
_PRINTABLE = range(0x21, 0x7F)


class Done(NamedTuple):
    """`fee`: sun burnt. `asset`: the number of a TRC-10 that was issued."""

    fee: int = 0
    asset: int | None = None


class Desk(NamedTuple):
    """What an actuator works with."""

    state: TronState
    book: ResourceBook
    settings: TronSettings


def invalid(text: str) -> NoReturn:
    raise RejectedError(Code.CONTRACT_VALIDATE_ERROR, f"Contract validate error : {text}")


def opens_account(state: TronState, operation: object) -> bool:
    """Whether it is paid for as an operation that makes an account."""
    if isinstance(operation, Transfer | TransferAsset):
        return not state.exists(operation.to)
    return isinstance(operation, AccountCreate)


def actuate(desk: Desk, operation: object) -> Done:
    return _ACTUATORS[type(operation)](desk, operation)


def _create_account(desk: Desk, operation: AccountCreate) -> Done:
    fee = desk.settings.create_account_fee
    if desk.state.balance(operation.owner) < fee:
        invalid("Validate CreateAccountActuator error, insufficient fee.")
    if desk.state.exists(operation.account):
        invalid("Account has existed")
    desk.state.pay(operation.owner, fee)
    desk.state.open_account(operation.account)
    return Done(fee)


def _transfer(desk: Desk, operation: Transfer) -> Done:
    state, owner, to, amount = desk.state, operation.owner, operation.to, operation.amount
    if to == owner:
        invalid("Cannot transfer TRX to yourself.")
    if amount <= 0:
        invalid("Amount must be greater than 0.")
    if state.is_contract(to):
        invalid("Cannot transfer TRX to a smartContract.")
    fee = 0 if state.exists(to) else desk.settings.create_account_fee
    if state.balance(owner) < amount + fee:
        invalid("Validate TransferContract error, balance is not sufficient.")
    if state.balance(to) + amount > MAX_AMOUNT:
        invalid("long overflow")
    state.pay(owner, fee)
    state.move(owner, to, amount)
    return Done(fee)


def _transfer_asset(desk: Desk, operation: TransferAsset) -> Done:
    state, owner, to, amount = desk.state, operation.owner, operation.to, operation.amount
    if amount <= 0:
        invalid("Amount must be greater than 0.")
    if to == owner:
        invalid("Cannot transfer asset to yourself.")
    if not FIRST_ASSET <= operation.asset <= MAX_AMOUNT or state.asset(operation.asset) is None:
        invalid("No asset!")
    balance = state.asset_balance(owner, operation.asset)
    if not balance:
        invalid("assetBalance must be greater than 0.")
    if amount > balance:
        invalid("assetBalance is not sufficient.")
    if state.is_contract(to):
        invalid("Cannot transfer asset to smartContract.")
    fee = 0 if state.exists(to) else desk.settings.create_account_fee
    if state.balance(owner) < fee:
        invalid("Validate TransferAssetActuator error, insufficient fee.")
    state.pay(owner, fee)
    state.move_asset(owner, to, operation.asset, amount)
    return Done(fee)


def _issue_asset(desk: Desk, operation: AssetIssue) -> Done:
    state, fee = desk.state, desk.settings.asset_issue_fee
    for refused, text in (
        (not _is_name(operation.name), "Invalid assetName"),
        (operation.name.lower() == b"trx", "assetName can't be trx"),
        (not 0 <= operation.decimals <= MAX_DECIMALS, "precision cannot exceed 6"),
        (operation.abbreviation and not _is_name(operation.abbreviation), "Invalid abbreviation for token"),
        (not 1 <= len(operation.url) <= _URL_BYTES, "Invalid url"),
        (len(operation.description) > _DESCRIPTION_BYTES, "Invalid description"),
        (not 0 < operation.supply <= MAX_AMOUNT, "TotalSupply must greater than 0!"),
    ):
        if refused:
            invalid(text)
    numbers = state.asset_numbers()
    issued = (state.asset(number) for number in numbers)
    if any(asset is not None and asset.owner == operation.owner for asset in issued):
        invalid("An account can only issue one asset")
    if state.balance(operation.owner) < fee:
        invalid("No enough balance for fee!")
    number = max((FIRST_ASSET - 1, *numbers)) + 1
    state.pay(operation.owner, fee)
    state.add_asset(
        Asset(
            number,
            operation.owner,
            operation.name,
            operation.abbreviation,
            operation.supply,
            operation.decimals,
            operation.description,
            operation.url,
        )
    )
    return Done(fee, number)


def _stake(desk: Desk, operation: Freeze) -> Done:
    if operation.amount <= 0:
        invalid("frozenBalance must be positive")
    if operation.amount < TRX:
        invalid("frozenBalance must be more than 1TRX")
    if operation.amount > desk.state.balance(operation.owner):
        invalid("frozenBalance must be less than accountBalance")
    desk.book.stake(operation.owner, operation.resource, operation.amount)
    return Done()


def _unstake(desk: Desk, operation: Unfreeze) -> Done:
    staked = desk.book.staked(operation.owner, operation.resource)
    if not staked:
        invalid(f"no frozenBalance({'Energy' if operation.resource is Resource.ENERGY else 'BANDWIDTH'})")
    if not 0 < operation.amount <= staked:
        invalid(f"Invalid unfreeze_balance, [{operation.amount}] is error")
    if desk.book.unstaking_count(operation.owner) >= MAX_UNSTAKING:
        invalid("Invalid unfreeze operation, unfreezing times is over limit")
    desk.book.unstake(operation.owner, operation.resource, operation.amount)
    return Done()


def _is_name(name: bytes) -> bool:
    return 1 <= len(name) <= _NAME_BYTES and all(byte in _PRINTABLE for byte in name)


_ACTUATORS: Mapping[type, Callable[[Desk, Any], Done]] = {
    AccountCreate: _create_account,
    Transfer: _transfer,
    TransferAsset: _transfer_asset,
    AssetIssue: _issue_asset,
    Freeze: _stake,
    Unfreeze: _unstake,
}
