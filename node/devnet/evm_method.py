"""A JSON-RPC method as data: what it takes, and what to ask the chain.

A method runs on the chain's thread, gets decoded parameters and returns JSON-ready values. What fails raises one of the
devnet's errors; `evm_envelope` knows which code each of them has on the wire.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from node.devnet.chain import Chain
from node.devnet.errors import BadRequestError
from node.devnet.evm_json import BadParameterError, BlockChoice
from node.devnet.records import Block

Decoder = Callable[[object], object]


@dataclass(frozen=True, slots=True)
class Method:
    """`run(chain, *parameters)`. `optional` parameters come after `required` ones, each with its default."""

    run: Callable[..., object]
    required: tuple[Decoder, ...] = ()
    optional: tuple[tuple[Decoder, object], ...] = ()

    def arguments(self, given: list[object]) -> list[object]:
        """Raises `BadParameterError`."""
        if not len(self.required) <= len(given) <= len(self.required) + len(self.optional):
            raise BadParameterError(f"{len(given)} parameters where {len(self.required)} are needed")
        decoded = [decode(value) for decode, value in zip(self.required, given, strict=False)]
        for place, (decode, default) in enumerate(self.optional, len(self.required)):
            decoded.append(decode(given[place]) if place < len(given) and given[place] is not None else default)
        return decoded


def find_block(chain: Chain, choice: BlockChoice) -> Block | None:
    """`safe` and `finalized` are the latest block: nothing competes with it here."""
    if choice.hash is not None:
        return chain.block_by_hash(choice.hash)
    if choice.number is not None:
        return chain.block(choice.number)
    return chain.block(0) if choice.tag == "earliest" else chain.head


def need_block(chain: Chain, choice: BlockChoice) -> Block:
    """Raises `BadRequestError`."""
    found = find_block(chain, choice)
    if found is None:
        raise BadRequestError("header not found: there is no such block")
    return found
