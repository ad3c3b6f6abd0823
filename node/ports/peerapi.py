"""What services need of the API between nodes: asking another node, and who is at fault when it does not answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from wallet.address import Address


class PeerApiError(Exception):
    """Asking another node has failed; it is not this machine's fault. `str()` is one line."""

    hint = "the node asks again by itself, or another node"


class PeerAwayError(PeerApiError):
    """No answer in time, or none at all. The request may have been heard."""


class PeerBrokenError(PeerApiError):
    """An answer that is none: not signed by whom we asked, too long, or not of the form."""


class PeerRefusedError(PeerApiError):
    """The other node said no. `code` is a word of the protocol, the text is the other node's."""

    def __init__(self, code: str, text: str, hint: str = "") -> None:
        super().__init__(text)
        self.code = code
        self.hint = hint


@dataclass(frozen=True, slots=True)
class Peer:
    """Another node: its key's address, and the base URL it has announced."""

    address: Address
    url: str


class PeerApi(Protocol):
    """Asks other nodes."""

    async def ask(self, peer: Peer, path: str, body: Mapping[str, Any], *, deadline: float = 15.0) -> dict[str, Any]:
        """POST a JSON object, signed by us; returns the object that `peer` has signed. Raises `PeerApiError`s."""
