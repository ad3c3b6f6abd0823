"""Who says what to whom: signatures over requests and answers between nodes.

Theory. A request is a promise or an order for work, so it must come from the key it names, be meant for the node that
reads it, be young, and count once. The sender signs (EIP-191, version 0x45, as wallets sign messages) the text

    bttnode peer request 1          bttnode peer answer 1
    METHOD                          STATUS
    /path?query                     0x digest of the request's text
    0x receiver                     0x SHA-256 of the body
    issued, Unix seconds
    0x nonce of 16 bytes
    0x SHA-256 of the body

and sends it as `Authorization: Bttnode sender="0x…", issued="…", nonce="0x…", signature="0x…"`. A request counts for
`WINDOW` seconds around its time of issue. Its nonce is remembered that long; and as a node that was started just now
remembers none, it takes no request from before its start. When the memory is full, requests are refused: to forget one
early would let it count twice.

Signatures are 65 bytes, low-s; anything else is refused, so that there is one form of each.
"""

from __future__ import annotations

import hashlib
import re
from collections import OrderedDict, defaultdict
from dataclasses import dataclass

from wallet.address import Address
from wallet.errors import WalletError
from wallet.keys import PrivateKey, keccak256, recover

WINDOW = 60
"""Seconds a request may be older or younger than the receiver's clock."""
NONCE = 16
MAX_NONCES = 65_536
MAX_NONCES_EACH = 1024
MAX_HEADER = 512

_HEADER = re.compile(
    r'Bttnode sender="(0x[0-9a-f]{40})", issued="([0-9]{1,12})", '
    r'nonce="(0x[0-9a-f]{32})", signature="(0x[0-9a-f]{130})"'
)
_ANSWER = re.compile(r"0x[0-9a-f]{130}")


class EnvelopeError(Exception):
    """The signature does not hold, or the request does not count (any more). `code` is a word of the protocol."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code = code


@dataclass(frozen=True, slots=True)
class Request:
    """What is signed of a request. `target`: path and query as they are sent."""

    method: str
    target: str
    receiver: Address
    issued: int
    nonce: bytes
    body_digest: bytes

    @classmethod
    def of(cls, method: str, target: str, receiver: Address, issued: int, nonce: bytes, body: bytes) -> Request:
        return cls(method, target, receiver, issued, nonce, hashlib.sha256(body).digest())

    def digest(self) -> bytes:
        """32 bytes to sign, and what the answer refers to."""
        lines = (
            "bttnode peer request 1",
            self.method,
            self.target,
            _hex(self.receiver.raw),
            str(self.issued),
            _hex(self.nonce),
            _hex(self.body_digest),
        )
        return _message_digest(lines)


def seal_request(request: Request, key: PrivateKey) -> str:
    """The `Authorization` header."""
    return (
        f'Bttnode sender="{_hex(key.address.raw)}", issued="{request.issued}", nonce="{_hex(request.nonce)}", '
        f'signature="{_hex(key.sign_digest(request.digest()))}"'
    )


def open_request(header: str, method: str, target: str, receiver: Address, body: bytes) -> tuple[Address, Request]:
    """(sender, request) where the signature holds; whether it counts is for `Gate`. Raises `EnvelopeError`."""
    found = _HEADER.fullmatch(header) if len(header) <= MAX_HEADER else None
    if found is None:
        raise EnvelopeError("unsigned", "the request is not signed as the peer API wants it")
    sender, issued, nonce, signature = found.groups()
    request = Request.of(method, target, receiver, int(issued), _bytes(nonce), body)
    named = Address(_bytes(sender))
    if _signer(request.digest(), _bytes(signature)) != named:
        raise EnvelopeError("signature", f"the request is not signed by {named} for {receiver}")
    return named, request


def seal_answer(request: Request, status: int, body: bytes, key: PrivateKey) -> str:
    """The header `Bttnode-Signature` of an answer."""
    return _hex(key.sign_digest(_answer_digest(request.digest(), status, body)))


def check_answer(header: str, request: Request, status: int, body: bytes) -> None:
    """Raises `EnvelopeError` unless the node that was asked has signed this answer to this request."""
    if not _ANSWER.fullmatch(header):
        raise EnvelopeError("unsigned", "the answer is not signed")
    if _signer(_answer_digest(request.digest(), status, body), _bytes(header)) != request.receiver:
        raise EnvelopeError("signature", f"the answer is not signed by {request.receiver}")


class Gate:
    """Lets each request through once, and only while it is young. Times in Unix seconds."""

    def __init__(self, started: int, *, most: int = MAX_NONCES, most_each: int = MAX_NONCES_EACH) -> None:
        self._started = started
        self._most = most
        self._most_each = most_each
        self._seen: OrderedDict[tuple[Address, bytes], int] = OrderedDict()
        """In the order of arrival; a request may be issued `WINDOW` ahead, so each is kept for two of them."""
        self._each: defaultdict[Address, int] = defaultdict(int)

    def __len__(self) -> int:
        return len(self._seen)

    def admit(self, sender: Address, request: Request, now: int) -> None:
        """Count a request whose signature holds. Raises `EnvelopeError`."""
        self._forget(now)
        if abs(now - request.issued) > WINDOW:
            raise EnvelopeError(
                "expired", f"the request was signed {now - request.issued} s ago: are the clocks right?"
            )
        if request.issued < self._started:
            raise EnvelopeError("expired", "the request was signed before this node started: sign it again")
        if (sender, request.nonce) in self._seen:
            raise EnvelopeError("replayed", "this request was made before")
        if len(self._seen) >= self._most or self._each[sender] >= self._most_each:
            raise EnvelopeError("busy", "too many requests in a minute")
        self._seen[sender, request.nonce] = now
        self._each[sender] += 1

    def _forget(self, now: int) -> None:
        while self._seen:
            (sender, _), at = next(iter(self._seen.items()))
            if now - at <= 2 * WINDOW:
                return
            self._seen.popitem(last=False)
            self._each[sender] -= 1
            if not self._each[sender]:
                del self._each[sender]


def _answer_digest(request: bytes, status: int, body: bytes) -> bytes:
    return _message_digest(("bttnode peer answer 1", str(status), _hex(request), _hex(hashlib.sha256(body).digest())))


def _message_digest(lines: tuple[str, ...]) -> bytes:
    text = "\n".join(lines).encode()
    return keccak256(b"\x19Ethereum Signed Message:\n" + str(len(text)).encode() + text)


def _signer(digest: bytes, signature: bytes) -> Address | None:
    try:
        return recover(digest, signature)
    except WalletError:
        return None


def _hex(data: bytes) -> str:
    return "0x" + data.hex()


def _bytes(text: str) -> bytes:
    return bytes.fromhex(text[2:])
