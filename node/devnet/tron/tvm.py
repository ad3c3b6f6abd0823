"""TRON's virtual machine on py-evm's message layer: what runs code, counts energy and decides how a run ends.

Theory
------
The TVM is an Istanbul EVM with other prices (`opcodes`), other addresses for new contracts, TRC-10 tokens next to the
native coin, and its own idea of failure: a REVERT or a failed transfer of the outermost message leaves the rest of the
energy to the caller, everything else burns it. Three things differ from Ethereum where contracts may notice:

* a call passes on all the energy it asks for (no 64th is held back), and the depth of calls is 64;
* writing storage earns no refund, and whether a slot is "new" is decided by what the transaction has written so far;
* a run that takes too long ends with OUT_OF_TIME. java-tron looks at a clock (80 ms); here it is a number of steps, so
  that the same transaction always ends alike.

Facts follow java-tron's `VM`, `Program` and `VMActuator` with the proposals that are active on the main network,
up to Shanghai's PUSH0. Cancun's opcodes and the staking and voting ones (0xd5 to 0xdf) are invalid here: a contract
that needs them should fail loudly.
"""

from __future__ import annotations

import sys
from functools import lru_cache
from typing import cast

from eth.abc import ComputationAPI, MessageAPI, StateAPI, TransactionContextAPI
from eth.exceptions import (
    FullStack,
    Halt,
    InsufficientStack,
    InvalidInstruction,
    InvalidJumpDestination,
    OutOfGas,
    Revert,
    VMError,
    WriteProtection,
)
from eth.vm.forks.istanbul.computation import IstanbulComputation
from eth.vm.gas_meter import GasMeter
from eth.vm.opcode_values import JUMPDEST, PUSH1, PUSH32

from node.devnet.records import Event
from node.devnet.tron.errors import InvalidCodeError, OutOfMemoryError, OutOfTimeError, TransferFailedError
from node.devnet.tron.messages import TronContext, TronMessage
from node.devnet.tron.opcodes import OPERATIONS, STATIC_CALL
from node.devnet.tron.precompiles import PRECOMPILES, SLOWNESS
from node.devnet.tron.records import ContractRet, Outcome
from node.devnet.tron.state import TronState

MAX_MEMORY = 3 * 1024 * 1024
CODE_DEPOSIT = 200
"""Energy per byte of a new contract's code."""

# Importing py-evm lets the whole process recurse 100,000 frames deep; `node.devnet.evm` says why that must not stay.
# The TVM's 64 nested calls need 500.
sys.setrecursionlimit(min(sys.getrecursionlimit(), 10_000))


class EnergyMeter(GasMeter):
    """py-evm's meter with java-tron's words."""

    def consume_gas(self, amount: int, reason: str) -> None:
        remaining = self.gas_remaining
        if amount > remaining:
            raise OutOfGas(
                f"Not enough energy for '{reason}' operation executing: curInvokeEnergyLimit[{self.start_gas}],"
                f" curOpEnergy[{amount}], usedEnergy[{self.start_gas - remaining}]"
            )
        self.gas_remaining = remaining - amount


class TimedMeter(EnergyMeter):
    """For precompiled contracts, which are one operation each and can still take seconds.

    Charges steps as well: `rate` for each unit of energy.
    """

    def __init__(self, energy: int, context: TronContext, rate: int) -> None:
        super().__init__(energy)
        self._context = context
        self._rate = rate

    def consume_gas(self, amount: int, reason: str) -> None:
        super().consume_gas(amount, reason)
        self._context.steps -= amount * self._rate
        if self._context.steps < 0:
            raise OutOfTimeError(reason)


class TvmComputation(IstanbulComputation):
    """One running message."""

    state: TronState
    msg: TronMessage
    transaction_context: TronContext
    _precompiles = PRECOMPILES
    _destinations: frozenset[int] | None = None

    def _configure_gas_meter(self) -> GasMeter:
        address = self.msg.code_address
        if address in PRECOMPILES:
            return TimedMeter(self.msg.gas, self.transaction_context, SLOWNESS.get(address, 1))
        return EnergyMeter(self.msg.gas)

    # --- what opcodes ask for ----------------------------------------------------------------------------------------

    def extend_memory(self, start_position: int, size: int) -> None:
        """3 energy a word, and a 512th of the square of all words."""
        end = start_position + size
        have, want = len(self._memory) // 32, (end + 31) // 32
        if not size or want <= have:
            return
        operation = self._operation()
        if end > MAX_MEMORY:
            raise OutOfMemoryError(operation)
        self.consume_gas(3 * (want - have) + want**2 // 512 - have**2 // 512, operation)
        self._memory.extend(start_position, size)

    def jump_to(self, target: int) -> None:
        if self._destinations is None:
            self._destinations = _jump_destinations(self.msg.code)
        if target not in self._destinations:
            shown = target if target < 2**31 else -1
            raise InvalidJumpDestination(f"Operation with pc isn't 'JUMPDEST': PC[{shown}];")
        self.code.program_counter = target

    def _operation(self) -> str:
        """The name of the instruction that is being executed, unless it is a PUSH."""
        operation = OPERATIONS[self.msg.code[self.code.program_counter - 1]]
        return str(getattr(operation, "mnemonic", "?"))

    # --- how a message runs ------------------------------------------------------------------------------------------

    @classmethod
    def apply_message(
        cls,
        state: StateAPI,
        message: MessageAPI,
        transaction_context: TransactionContextAPI,
        parent_computation: ComputationAPI | None = None,
    ) -> ComputationAPI:
        """Move what comes along, run, and undo both on failure. The sender is known to have what it sends."""
        snapshot = state.snapshot()
        if message.should_transfer_value:
            _move(cast(TronState, state), cast(TronMessage, message))
        computation = cls.apply_computation(state, message, transaction_context, parent_computation)
        if computation.is_error:
            state.revert(snapshot)
        else:
            state.commit(snapshot)
        return computation

    @classmethod
    def apply_create_message(
        cls,
        state: StateAPI,
        message: MessageAPI,
        transaction_context: TransactionContextAPI,
        parent_computation: ComputationAPI | None = None,
    ) -> ComputationAPI:
        """As `apply_message`; then the output becomes the new contract's code, unless there is no energy for it."""
        snapshot = state.snapshot()
        computation = cls.apply_message(state, message, transaction_context, parent_computation)
        code = computation.output
        if not computation.is_error:
            try:
                if code[:1] == b"\xef":
                    raise InvalidCodeError("invalid code: must not begin with 0xef")
                computation.consume_gas(CODE_DEPOSIT * len(code), "save just created contract code")
            except VMError as error:
                computation.error = error
            else:
                state.set_code(message.storage_address, code)
        if computation.is_error:
            state.revert(snapshot)
        else:
            state.commit(snapshot)
        return computation

    @classmethod
    def apply_computation(
        cls,
        state: StateAPI,
        message: MessageAPI,
        transaction_context: TransactionContextAPI,
        parent_computation: ComputationAPI | None = None,
    ) -> ComputationAPI:
        with cls(state, message, transaction_context) as computation:
            precompile = PRECOMPILES.get(message.code_address)
            if precompile is not None:
                precompile(computation)
            elif message.code:
                _run(computation)
        return computation


def _move(state: TronState, message: TronMessage) -> None:
    to = message.storage_address
    if message.value:
        state.move(message.sender, to, message.value)
    if message.token_value:
        state.move_asset(message.sender, to, message.token, message.token_value)


def _run(computation: ComputationAPI) -> None:
    context = cast(TronContext, computation.transaction_context)
    operations = OPERATIONS
    try:
        for opcode in computation.code:
            context.steps -= 1
            if context.steps < 0:
                raise OutOfTimeError(f"opcode {opcode:#04x}")
            operation = operations[opcode]
            if operation is None:
                raise InvalidInstruction(f"Invalid operation code: opCode[{opcode:02x}];")
            operation(computation)
    except Halt:
        pass


@lru_cache(maxsize=256)
def _jump_destinations(code: bytes) -> frozenset[int]:
    """Places of JUMPDEST that are not data of a PUSH."""
    found, place, end = [], 0, len(code)
    while place < end:
        opcode = code[place]
        if opcode == JUMPDEST:
            found.append(place)
        elif PUSH1 <= opcode <= PUSH32:
            place += opcode - PUSH1 + 1
        place += 1
    return frozenset(found)


# --- running transactions --------------------------------------------------------------------------------------------


def call(state: TronState, context: TronContext, message: TronMessage) -> Outcome:
    """Run a message to a contract, or, where its `to` is empty, the creation of one. Failures are outcomes.

    The state changes by what the run did; a contract that destroyed itself is gone.
    """
    apply = TvmComputation.apply_create_message if message.is_create else TvmComputation.apply_message
    computation = apply(state, message, context)
    if computation.is_success:
        for address in computation.get_accounts_for_deletion():
            state.remove_contract(address)
    ret, text = _describe(computation)
    return Outcome(
        ret=ret,
        energy=message.gas - computation.get_gas_remaining(),
        output=computation.output,
        message=text,
        events=tuple(
            Event(address, tuple(topic.to_bytes(32, "big") for topic in topics), data)
            for address, topics, data in computation.get_log_entries()
        ),
    )


def _describe(computation: ComputationAPI) -> tuple[ContractRet, str]:
    if computation.is_success:
        return ContractRet.SUCCESS, ""
    for kind, ret, text in _FAILURES:
        if isinstance(computation.error, kind):
            return ret, text or str(computation.error)
    return ContractRet.UNKNOWN, str(computation.error)


_FAILURES: tuple[tuple[type[VMError], ContractRet, str], ...] = (
    (Revert, ContractRet.REVERT, "REVERT opcode executed"),
    (OutOfGas, ContractRet.OUT_OF_ENERGY, ""),
    (OutOfTimeError, ContractRet.OUT_OF_TIME, ""),
    (OutOfMemoryError, ContractRet.OUT_OF_MEMORY, ""),
    (InvalidJumpDestination, ContractRet.BAD_JUMP_DESTINATION, ""),
    (InvalidInstruction, ContractRet.ILLEGAL_OPERATION, ""),
    (InsufficientStack, ContractRet.STACK_TOO_SMALL, ""),
    (FullStack, ContractRet.STACK_TOO_LARGE, "Expected: overflow 1024 elements stack limit"),
    (InvalidCodeError, ContractRet.INVALID_CODE, ""),
    (TransferFailedError, ContractRet.TRANSFER_FAILED, ""),
    (WriteProtection, ContractRet.UNKNOWN, STATIC_CALL),
)
