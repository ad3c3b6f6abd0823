"""The TVM's instruction set: Istanbul's, with java-tron's energy costs (`EnergyCost`) and TRON's own instructions.

Where py-evm's logic of an instruction is right and only its price differs, it is taken over with the new price. Costs
per word of copied or hashed data, per topic, per byte of log and for memory are the same on both chains.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from eth._utils.address import force_bytes_to_address
from eth.constants import CREATE_CONTRACT_ADDRESS
from eth.exceptions import Halt, VMError, WriteProtection
from eth.vm import opcode_values as op
from eth.vm.forks.istanbul.opcodes import ISTANBUL_OPCODES
from eth.vm.logic import arithmetic, context, memory
from eth.vm.opcode import as_opcode
from eth_typing import Address
from eth_utils.crypto import keccak

from node.devnet.tron.errors import TransferFailedError
from node.devnet.tron.messages import TronMessage
from node.devnet.tron.precompiles import PRECOMPILES
from node.devnet.tron.state import FIRST_ASSET, MAX_AMOUNT, ContractRecord

if TYPE_CHECKING:
    from node.devnet.tron.tvm import TvmComputation

Operation = Callable[..., None]

PREFIX = b"\x41"
"""What makes 20 bytes an address of TRON's, in hashes that new addresses come from."""
MAX_DEPTH = 64

CALLTOKEN, TOKENBALANCE, CALLTOKENVALUE, CALLTOKENID, ISCONTRACT = range(0xD0, 0xD5)
BASEFEE, PUSH0 = 0x48, 0x5F

_NONE, _SPECIAL, _BASE, _LOW, _MID, _HIGH, _EXT = 0, 1, 2, 5, 8, 10, 20
_SLOAD, _SSTORE_NEW, _SSTORE_RESET = 50, 20_000, 5_000
_EXTCODEHASH = 400
_EXP_BYTE = 10
_CALL, _CALL_VALUE, _STIPEND, _NEW_ACCOUNT = 40, 9_000, 2_300, 25_000
_CREATE, _HASH_WORD = 32_000, 6

_NO_SUCH_ASSET = "validateForSmartContract failure:not valid token id"
STATIC_CALL = "Attempt to call a state modifying opcode inside STATICCALL"


# --- storage, jumps, environment -------------------------------------------------------------------------------------


def _sload(computation: TvmComputation) -> None:
    slot = computation.stack_pop1_int()
    computation.stack_push_int(computation.state.get_storage(computation.msg.storage_address, slot))


def _sstore(computation: TvmComputation) -> None:
    """A slot is new until the transaction has written it, even with zero; py-evm's warm slots are just those."""
    _forbid_static(computation)
    slot, value = computation.stack_pop_ints(2)
    state, address = computation.state, computation.msg.storage_address
    new = value and not state.get_storage(address, slot) and not state.is_storage_warm(address, slot)
    computation.consume_gas(_SSTORE_NEW if new else _SSTORE_RESET, "SSTORE")
    state.mark_storage_warm(address, slot)
    state.set_storage(address, slot, value)


def _jump(computation: TvmComputation) -> None:
    computation.jump_to(computation.stack_pop1_int())


def _jumpi(computation: TvmComputation) -> None:
    target, condition = computation.stack_pop_ints(2)
    if condition:
        computation.jump_to(target)


def _exp(computation: TvmComputation) -> None:
    arithmetic.exp(computation, gas_per_byte=_EXP_BYTE)


def _push_zero(computation: TvmComputation) -> None:
    computation.stack_push_int(0)


def _basefee(computation: TvmComputation) -> None:
    computation.stack_push_int(computation.state.energy_price)


# --- TRC-10 ----------------------------------------------------------------------------------------------------------


def _token_balance(computation: TvmComputation) -> None:
    token = _signed(computation.stack_pop1_int())
    address = force_bytes_to_address(computation.stack_pop1_bytes())
    if not -MAX_AMOUNT <= token <= MAX_AMOUNT:
        raise TransferFailedError(_NO_SUCH_ASSET)
    if token < FIRST_ASSET:
        raise VMError(_NO_SUCH_ASSET)
    computation.stack_push_int(computation.state.asset_balance(address, token))


def _call_token_value(computation: TvmComputation) -> None:
    computation.stack_push_int(computation.msg.token_value)


def _call_token_id(computation: TvmComputation) -> None:
    computation.stack_push_int(computation.msg.token)


def _is_contract(computation: TvmComputation) -> None:
    address = force_bytes_to_address(computation.stack_pop1_bytes())
    computation.stack_push_int(int(computation.state.is_contract(address)))


# --- calls -----------------------------------------------------------------------------------------------------------


class _Kind(NamedTuple):
    """How the four Ethereum calls and CALLTOKEN differ. `own`: the code runs in the caller's own account."""

    name: str
    value: bool = False
    token: bool = False
    own: bool = False
    delegate: bool = False
    static: bool = False


def _caller(kind: _Kind) -> Operation:
    def operation(computation: TvmComputation) -> None:
        _call_with(computation, kind)

    return operation


def _call_with(computation: TvmComputation, kind: _Kind) -> None:
    """Pop, charge, run, push 1 or 0.

    Costs 40, for a value 9,000 more, and 25,000 more if that opens an account. The callee gets what it was meant to,
    at most all there is, and 2,300 on top with a value.
    """
    state, message = computation.state, computation.msg
    energy, target = computation.stack_pop1_int(), force_bytes_to_address(computation.stack_pop1_bytes())
    value = computation.stack_pop1_int() if kind.value else 0
    token = computation.stack_pop1_int() if kind.token else 0
    data_at, data_size, output_at, output_size = computation.stack_pop_ints(4)

    opens = value and not kind.own and not state.exists(target)
    computation.consume_gas(_CALL + (_CALL_VALUE if value else 0) + (_NEW_ACCOUNT if opens else 0), kind.name)
    computation.extend_memory(data_at, data_size)
    computation.extend_memory(output_at, output_size)
    energy = min(energy, computation.get_gas_remaining())
    computation.consume_gas(energy, kind.name)
    if value and message.is_static and not kind.own:
        raise WriteProtection(STATIC_CALL)
    energy += _STIPEND if value else 0

    computation.return_data = b""
    context_address = message.storage_address if kind.own else target
    try:
        sends = message.depth < MAX_DEPTH and _can_send(computation, kind, context_address, value, token)
    except TransferFailedError:
        computation.return_gas(energy)
        raise
    if not sends:
        computation.return_gas(energy)
        computation.stack_push_int(0)
        return
    if target not in PRECOMPILES:
        computation.transaction_context.internal_nonce += 1
    elif value and not kind.own:
        raise VMError("transfer failure")
    child = computation.apply_child_computation(
        TronMessage(
            gas=energy,
            to=context_address,
            sender=message.sender if kind.delegate else message.storage_address,
            value=message.value if kind.delegate else 0 if kind.token else value,
            token=token,
            token_value=value if kind.token else 0,
            data=computation.memory_read_bytes(data_at, data_size),
            code=state.get_code(target),
            code_address=target,
            depth=message.depth + 1,
            should_transfer_value=not kind.own,
            is_static=kind.static or message.is_static,
        )
    )
    computation.stack_push_int(0 if child.is_error else 1)
    if not child.should_erase_return_data:
        output = child.output[:output_size]
        computation.memory_write(output_at, len(output), output)
        computation.return_gas(child.get_gas_remaining())


def _can_send(computation: TvmComputation, kind: _Kind, to: Address, value: int, token: int) -> bool:
    """Whether the sender has what it wants to send. Raises `TransferFailedError` for what makes no sense at all."""
    state, sender = computation.state, computation.msg.storage_address
    if value > MAX_AMOUNT:
        raise TransferFailedError("endowment out of long range")
    if not kind.token:
        if state.get_balance(sender) < value:
            return False
        if value and not kind.own and sender == to:
            raise TransferFailedError("transfer trx failed: Cannot transfer TRX to yourself.")
        return True
    if not FIRST_ASSET <= token <= MAX_AMOUNT:
        raise TransferFailedError(_NO_SUCH_ASSET)
    if state.asset_balance(sender, token) < value:
        return False
    if value and sender == to:
        raise TransferFailedError("transfer trc10 failed: Cannot transfer asset to yourself.")
    return True


# --- creations -------------------------------------------------------------------------------------------------------


def _create(computation: TvmComputation) -> None:
    """The address comes from the transaction's id and its count of internal calls and creations so far."""
    value, at, size = _creation_of(computation, 0)
    shared = computation.transaction_context
    address = keccak(shared.transaction_id + shared.internal_nonce.to_bytes(8, "big"))[12:]
    _create_at(computation, address, value, computation.memory_read_bytes(at, size))


def _create2(computation: TvmComputation) -> None:
    """As EIP-1014 with 0x41 where Ethereum has 0xff."""
    value, at, size = _creation_of(computation, _HASH_WORD)
    salt = computation.stack_pop1_int()
    code = computation.memory_read_bytes(at, size)
    creator = computation.msg.storage_address
    address = keccak(PREFIX + creator + salt.to_bytes(32, "big") + keccak(code))[12:]
    _create_at(computation, address, value, code)


def _creation_of(computation: TvmComputation, word_cost: int) -> Sequence[int]:
    _forbid_static(computation)
    value, at, size = computation.stack_pop_ints(3)
    computation.consume_gas(_CREATE + word_cost * ((size + 31) // 32), "CREATE")
    computation.extend_memory(at, size)
    return value, at, size


def _create_at(computation: TvmComputation, address: bytes, value: int, code: bytes) -> None:
    state, message = computation.state, computation.msg
    computation.return_data = b""
    if value > MAX_AMOUNT:
        raise VMError("BigInteger out of long range")
    if message.depth >= MAX_DEPTH or state.get_balance(message.storage_address) < value:
        computation.stack_push_int(0)
        return
    energy = computation.get_gas_remaining()
    computation.consume_gas(energy, "internal call")
    computation.transaction_context.internal_nonce += 1
    if state.is_contract(address):  # the energy is gone
        computation.stack_push_int(0)
        return
    snapshot = state.snapshot()
    state.add_contract(address, ContractRecord(message.storage_address, 100, 0, ""))
    child = computation.apply_child_computation(
        TronMessage(
            gas=energy,
            to=CREATE_CONTRACT_ADDRESS,
            create_address=Address(address),
            sender=message.storage_address,
            value=value,
            data=b"",
            code=code,
            depth=message.depth + 1,
        )
    )
    if child.is_error:
        state.revert(snapshot)
        computation.stack_push_int(0)
    else:
        state.commit(snapshot)
        computation.stack_push_bytes(address)
    if not child.should_erase_return_data:
        computation.return_gas(child.get_gas_remaining())


def _selfdestruct(computation: TvmComputation) -> None:
    """Everything goes to the heir, whose account is opened if need be; what a contract leaves to itself is burnt."""
    _forbid_static(computation)
    state, owner = computation.state, computation.msg.storage_address
    heir = force_bytes_to_address(computation.stack_pop1_bytes())
    if not state.exists(heir):
        computation.consume_gas(_NEW_ACCOUNT, "SUICIDE")
    computation.transaction_context.internal_nonce += 1
    balance = state.get_balance(owner)
    if heir == owner:
        state.pay(owner, balance)
        state.move_all_assets(owner, None)
    else:
        state.move(owner, heir, balance)
        state.move_all_assets(owner, heir)
    computation.register_account_for_deletion(heir)
    raise Halt("SELFDESTRUCT")


# --- the parts -------------------------------------------------------------------------------------------------------


def _forbid_static(computation: TvmComputation) -> None:
    if computation.msg.is_static:
        raise WriteProtection(STATIC_CALL)


def _signed(word: int) -> int:
    return word - 2**256 if word >> 255 else word


def _table() -> tuple[Operation | None, ...]:
    table: list[Operation | None] = [ISTANBUL_OPCODES.get(opcode) for opcode in range(256)]
    for opcode, (name, cost, logic) in _CHANGES.items():
        table[opcode] = as_opcode(logic, name, cost)
    return tuple(table)


_CHANGES: dict[int, tuple[str, int, Operation]] = {
    # other prices
    op.EXP: ("EXP", _HIGH, _exp),
    op.BALANCE: ("BALANCE", _EXT, context.balance),
    op.SELFBALANCE: ("SELFBALANCE", _LOW, context.selfbalance),
    op.EXTCODESIZE: ("EXTCODESIZE", _EXT, context.extcodesize),
    op.EXTCODECOPY: ("EXTCODECOPY", _EXT, context.extcodecopy),
    op.EXTCODEHASH: ("EXTCODEHASH", _EXTCODEHASH, context.extcodehash),
    op.CALLDATACOPY: ("CALLDATACOPY", _NONE, context.calldatacopy),
    op.CODECOPY: ("CODECOPY", _NONE, context.codecopy),
    op.RETURNDATACOPY: ("RETURNDATACOPY", _NONE, context.returndatacopy),
    op.MLOAD: ("MLOAD", _SPECIAL, memory.mload),
    op.MSTORE: ("MSTORE", _SPECIAL, memory.mstore),
    op.MSTORE8: ("MSTORE8", _SPECIAL, memory.mstore8),
    op.SLOAD: ("SLOAD", _SLOAD, _sload),
    op.SSTORE: ("SSTORE", _NONE, _sstore),
    op.JUMP: ("JUMP", _MID, _jump),
    op.JUMPI: ("JUMPI", _HIGH, _jumpi),
    # there is no mining, no block limit of energy, no price that a sender offers
    op.PREVRANDAO: ("DIFFICULTY", _BASE, _push_zero),
    op.GASLIMIT: ("GASLIMIT", _BASE, _push_zero),
    op.GASPRICE: ("GASPRICE", _BASE, _push_zero),
    BASEFEE: ("BASEFEE", _BASE, _basefee),
    PUSH0: ("PUSH0", _BASE, _push_zero),
    # TRON's own
    CALLTOKEN: ("CALLTOKEN", _NONE, _caller(_Kind("CALLTOKEN", value=True, token=True))),
    TOKENBALANCE: ("TOKENBALANCE", _EXT, _token_balance),
    CALLTOKENVALUE: ("CALLTOKENVALUE", _BASE, _call_token_value),
    CALLTOKENID: ("CALLTOKENID", _BASE, _call_token_id),
    ISCONTRACT: ("ISCONTRACT", _EXT, _is_contract),
    # messages
    op.CALL: ("CALL", _NONE, _caller(_Kind("CALL", value=True))),
    op.CALLCODE: ("CALLCODE", _NONE, _caller(_Kind("CALLCODE", value=True, own=True))),
    op.DELEGATECALL: ("DELEGATECALL", _NONE, _caller(_Kind("DELEGATECALL", own=True, delegate=True))),
    op.STATICCALL: ("STATICCALL", _NONE, _caller(_Kind("STATICCALL", static=True))),
    op.CREATE: ("CREATE", _NONE, _create),
    op.CREATE2: ("CREATE2", _NONE, _create2),
    op.SELFDESTRUCT: ("SUICIDE", _NONE, _selfdestruct),
}

OPERATIONS = _table()
"""By opcode; None is an invalid one."""
