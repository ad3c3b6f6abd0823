"""One transaction from the first fee to the receipt: bandwidth, memo, then an actuator or a contract run and its bill.

`RejectedError` means that the transaction cannot stand in a block; the state is then as it was. A run that fails is not
that: it stands in its block and its energy is paid.
"""

from __future__ import annotations

from eth.constants import CREATE_CONTRACT_ADDRESS
from eth_typing import Address
from eth_utils.crypto import keccak

from node.devnet.tron.actuators import Desk, actuate, invalid, opens_account
from node.devnet.tron.messages import TronContext, TronMessage
from node.devnet.tron.opcodes import PREFIX
from node.devnet.tron.records import (
    Code,
    ContractRet,
    CreateContract,
    Outcome,
    Receipt,
    RejectedError,
    Transaction,
    TriggerContract,
)
from node.devnet.tron.resources import ResourceBook
from node.devnet.tron.settings import TronSettings
from node.devnet.tron.state import FIRST_ASSET, MAX_AMOUNT, ContractRecord, ContractSource, TronState
from node.devnet.tron.tvm import call
from wallet.address import Address as Account

RESULT_BYTES = 64
"""What every transaction pays bandwidth for beyond its own bytes (java-tron: `MAX_RESULT_SIZE_IN_TX`)."""
MAX_CONTRACT_NAME = 32
_WHOLE = 100
_SUCCESS = Outcome(ContractRet.SUCCESS, 0, b"", "")

Run = CreateContract | TriggerContract


class Execution:
    """Executes on one state, in order."""

    def __init__(self, state: TronState, settings: TronSettings) -> None:
        self._state = state
        self._settings = settings
        self._book = ResourceBook(state, settings)

    def run(self, transaction: Transaction) -> Receipt:
        """Raises `RejectedError`."""
        self._state.lock_changes()  # what earlier transactions wrote is old to this one
        before = self._state.snapshot()
        try:
            receipt = self._run(transaction)
        except RejectedError:
            self._state.revert(before)
            raise
        self._state.commit(before)
        return receipt

    def try_out(self, operation: Run, energy: int) -> Outcome:
        """Run with this much energy, paid by nobody. Raises `RejectedError` when it cannot begin."""
        self._state.lock_changes()
        nobody = bytes(32)
        if isinstance(operation, CreateContract):
            return self._create(operation, keccak(nobody + PREFIX + operation.owner)[12:], nobody, energy)
        if not self._state.is_contract(operation.contract):
            raise RejectedError(Code.CONTRACT_VALIDATE_ERROR, "Smart contract is not exist.")
        return self._trigger(operation, nobody, energy)

    def _run(self, transaction: Transaction) -> Receipt:
        state, operation = self._state, transaction.operation
        owner = operation.owner
        if not state.exists(owner):
            invalid(f"account [{Account(owner).tron}] does not exist")
        size = transaction.size + RESULT_BYTES
        opens = opens_account(state, operation)
        net_used, net_burnt = self._book.charge_bandwidth(owner, size, opens_account=opens)
        memo = self._book.burn(owner, self._settings.memo_fee) if transaction.memo else 0
        if not isinstance(operation, CreateContract | TriggerContract):
            done = actuate(Desk(state, self._book, self._settings), operation)
            fee = net_burnt + memo + done.fee
            return Receipt(_SUCCESS, False, fee, net_used=net_used, net_burnt=net_burnt, asset=done.asset)
        if not 0 <= transaction.fee_limit <= self._settings.max_fee_limit:
            invalid(f"feeLimit must be >= 0 and <= {self._settings.max_fee_limit}")
        own_limit = self._energy_of(owner, transaction.fee_limit, operation.value)
        if isinstance(operation, CreateContract):
            _check_terms(operation)
            contract = keccak(transaction.id + PREFIX + owner)[12:]
            outcome = self._create(operation, contract, transaction.id, own_limit)
            payer = ContractRecord(owner, _WHOLE, 0, "")
        else:
            contract = operation.contract
            payer = self._record(contract)
            limit = own_limit + self._origin_energy(payer, owner, own_limit)
            outcome = self._trigger(operation, transaction.id, limit)
        own, origin, burnt = self._bill(owner, payer, outcome.energy)
        return Receipt(
            outcome,
            True,
            net_burnt + memo + burnt,
            energy_own=own,
            energy_origin=origin,
            energy_burnt=burnt,
            net_used=net_used,
            net_burnt=net_burnt,
            contract=contract,
        )

    # --- runs --------------------------------------------------------------------------------------------------------

    def _trigger(self, operation: TriggerContract, transaction_id: bytes, energy: int) -> Outcome:
        self._check_funds(operation, operation.contract)
        message = TronMessage(
            to=Address(operation.contract),
            sender=Address(operation.owner),
            code=self._state.get_code(Address(operation.contract)),
            data=operation.data,
            gas=energy,
            value=operation.value,
            token=operation.token,
            token_value=operation.token_value,
        )
        return call(self._state, self._context(operation, transaction_id), message)

    def _create(self, operation: CreateContract, contract: bytes, transaction_id: bytes, energy: int) -> Outcome:
        if self._state.exists(contract):
            invalid(f"Trying to create a contract with existing contract address: {Account(contract).tron}")
        self._check_funds(operation, contract)
        snapshot = self._state.snapshot()
        record = ContractRecord(operation.owner, operation.user_percent, operation.origin_energy_limit, operation.name)
        self._state.add_contract(contract, record, ContractSource(operation.abi, operation.bytecode))
        message = TronMessage(
            to=CREATE_CONTRACT_ADDRESS,
            create_address=Address(contract),
            sender=Address(operation.owner),
            code=operation.bytecode,
            data=b"",
            gas=energy,
            value=operation.value,
            token=operation.token,
            token_value=operation.token_value,
        )
        outcome = call(self._state, self._context(operation, transaction_id), message)
        if outcome.ok:
            self._state.commit(snapshot)
        else:
            self._state.revert(snapshot)
        return outcome

    def _context(self, operation: Run, transaction_id: bytes) -> TronContext:
        return TronContext(operation.owner, transaction_id, self._settings.max_steps)

    def _record(self, contract: bytes) -> ContractRecord:
        record = self._state.contract(contract)
        if record is None:
            invalid("No contract or not a valid smart contract")
        return record

    def _check_funds(self, operation: Run, to: bytes) -> None:
        """What comes along with a run must be there before it begins."""
        state, owner = self._state, operation.owner
        if operation.value < 0:
            invalid("callValue must be >= 0")
        if operation.token_value < 0:
            invalid("tokenValue must be >= 0")
        if operation.token and not FIRST_ASSET <= operation.token <= MAX_AMOUNT:
            invalid(f"tokenId must be > {FIRST_ASSET - 1}")
        if operation.token_value and not operation.token:
            invalid(f"invalid arguments with tokenValue = {operation.token_value}, tokenId = {operation.token}")
        if not operation.value and not operation.token_value:
            return
        if owner == to:
            invalid("Cannot transfer TRX to yourself.")
        if not state.exists(owner):
            invalid("Validate InternalTransfer error, no OwnerAccount.")
        if state.balance(owner) < operation.value:
            invalid("Validate InternalTransfer error, balance is not sufficient.")
        if operation.token_value and state.asset(operation.token) is None:
            invalid("No asset !")
        if state.asset_balance(owner, operation.token) < operation.token_value:
            invalid("assetBalance is not sufficient.")

    # --- energy ------------------------------------------------------------------------------------------------------

    def _energy_of(self, owner: bytes, fee_limit: int, value: int) -> int:
        """What the caller may use: stake and balance, but not more than `fee_limit` would buy."""
        price = self._settings.energy_price
        affordable = max(self._state.balance(owner) - max(value, 0), 0) // price
        return min(self._book.energy_left(owner) + affordable, fee_limit // price)

    def _origin_energy(self, record: ContractRecord, caller: bytes, own: int) -> int:
        """What the deployer adds to the caller's `own` energy, from its stake alone."""
        if caller == record.origin or record.user_percent >= _WHOLE:
            return 0
        left = min(self._book.energy_left(record.origin), record.origin_energy_limit)
        if not record.user_percent:
            return left
        return min(left, own * (_WHOLE - record.user_percent) // record.user_percent)

    def _bill(self, caller: bytes, record: ContractRecord, used: int) -> tuple[int, int, int]:
        """(energy of the caller's stake, energy of the deployer's stake, sun burnt)."""
        origin = 0
        if caller != record.origin:
            share = used * (_WHOLE - record.user_percent) // _WHOLE
            origin = min(share, self._book.energy_left(record.origin), record.origin_energy_limit)
            self._book.use_energy(record.origin, origin)
        own = min(used - origin, self._book.energy_left(caller))
        self._book.use_energy(caller, own)
        burnt = (used - origin - own) * self._settings.energy_price
        self._state.pay(caller, burnt)
        return own, origin, burnt


def _check_terms(operation: CreateContract) -> None:
    """What a deployed contract is called and who will pay for it."""
    if len(operation.name.encode()) > MAX_CONTRACT_NAME:
        invalid("contractName's length cannot be greater than 32")
    if not 0 <= operation.user_percent <= _WHOLE:
        invalid("percent must be >= 0 and <= 100")
    if operation.origin_energy_limit <= 0:
        invalid("The originEnergyLimit must be > 0")
