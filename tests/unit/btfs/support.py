"""A vault and its factory whose answers a test writes down."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from wallet.address import Address
from wallet.chains.abi import selector
from wallet.chains.base import Block
from wallet.digests import word
from wallet.keys import PrivateKey

KEY = PrivateKey(b"\x01" * 32)
FACTORY, WBTT, TOKEN, VAULT, HOST = (Address(bytes((number,)) * 20) for number in range(1, 6))
ISSUER = KEY.address
HONEST: Mapping[str, bytes | Exception] = {
    "deployedContracts(address)": word(1),
    "issuer()": word(ISSUER),
    "token()": word(WBTT),
    "bounced()": word(0),
    "totalbalance()": word(10),
    "totalbalanceOf(address)": word(20),
    "balanceOf(address)": word(10),
    "paidOut(address)": word(3),
    "totalPaidOut()": word(3),
    "multiTokensPaidOut(address,address)": word(4),
}


class Scripted:
    """A `Reader` whose contracts answer by function, whoever is asked."""

    def __init__(self, answers: Mapping[str, bytes | Exception]) -> None:
        self._answers = {selector(signature): answer for signature, answer in answers.items()}
        self.blocks: set[int] = set()

    async def head(self) -> Block:
        return Block(77, bytes(32), 0)

    async def call(self, to: Address, data: bytes, block: int, /) -> bytes:
        self.blocks.add(block)
        await asyncio.sleep(0)  # others get their turn, as while waiting for a server
        answer = self._answers[data[:4]]
        if isinstance(answer, Exception):
            raise answer
        return answer
