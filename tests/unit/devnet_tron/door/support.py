"""Transactions of every kind, and a small chain with a token on it."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from node.devnet.deployment import DEPLOYER, Deployment, Periods
from node.devnet.tron.chain import TronChain
from node.devnet.tron.deployment import BTTOLD, DEPLOYER_SUN, deploy
from node.devnet.tron.proto import Header
from node.devnet.tron.schema import ENUMS, MESSAGES, new
from node.devnet.tron.settings import TronSettings
from wallet.keys import PrivateKey

ALICE, BOB = (PrivateKey(bytes([digit]) * 32) for digit in (0xA1, 0xB0))
START = 1_800_000_000_000
REF = {"ref_block_bytes": "0001", "ref_block_hash": "11" * 8}


class Clock:
    """The machine's clock in milliseconds, moved by hand."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> int:
        return self.now


def make_chain() -> TronChain:
    """In memory, with nothing deployed."""
    return TronChain(TronSettings(allocation={DEPLOYER: DEPLOYER_SUN}, assets=[BTTOLD]), clock=Clock())


def deployed(chain: TronChain) -> Deployment:
    """Test BTT and the vault."""
    return deploy(chain, Periods(60), url="")


# --- every message of the schema -------------------------------------------------------------------------------------

_INTS = {"int32": st.integers(-(2**31), 2**31 - 1), "int64": st.integers(-(2**63), 2**63 - 1)}
_TEXTS = st.text(max_size=12)
_ADDRESSES = st.binary(min_size=20, max_size=20).map(lambda raw: b"\x41" + raw)


def _scalar(kind: str) -> st.SearchStrategy[Any]:
    if kind in _INTS:
        return _INTS[kind]
    if kind in ENUMS:
        return st.integers(0, len(ENUMS[kind]) - 1)
    return {
        "address": _ADDRESSES,
        "text": _TEXTS.map(str.encode),
        "bytes": st.binary(max_size=40),
        "string": _TEXTS,
        "bool": st.booleans(),
    }[kind]


@st.composite
def messages(draw: st.DrawFn, name: str) -> Any:
    """Some of the fields of a message, and of those in it."""
    message: Any = new(name)
    for field in MESSAGES[name]:
        if not draw(st.booleans()):
            continue
        values = messages(field.kind) if field.kind in MESSAGES else _scalar(field.kind)
        if field.repeated:
            getattr(message, field.name).extend(draw(st.lists(values, max_size=2)))
        elif field.kind in MESSAGES:
            child = getattr(message, field.name)
            child.SetInParent()
            child.CopyFrom(draw(values))
        else:
            setattr(message, field.name, draw(values))
    return message


headers = st.builds(
    Header,
    ref_block_bytes=st.binary(min_size=2, max_size=2),
    ref_block_hash=st.binary(min_size=8, max_size=8),
    expiration=st.integers(0, 2**63 - 1),
    timestamp=st.integers(0, 2**63 - 1),
    fee_limit=st.integers(0, 2**63 - 1),
    memo=st.binary(max_size=20),
    permission=st.integers(0, 9),
)
