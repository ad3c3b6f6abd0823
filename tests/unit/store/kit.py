"""Short ways to make the store's records."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from node.ports.engine import TorrentId
from node.ports.store import IssueCheque, IssuedCheque, ReceivedCheque, TorrentRecord
from wallet.address import Address

RAIL = "eip155:199"
ME = Address(b"\x11" * 20)
NOW = 1_700_000_000
DAY = NOW // 86_400
TORRENT = TorrentId("ab" * 20)


def partner(number: int) -> Address:
    return Address(number.to_bytes(20, "big"))


def signature(cumulative: int) -> bytes:
    """Stands for a signature: the store never looks into one."""
    return cumulative.to_bytes(65, "big")


def issued(cumulative: int, *, payee: int = 1, owed: int | None = None, now: int = NOW) -> IssuedCheque:
    return IssuedCheque(
        rail=RAIL,
        payer=ME,
        payee=partner(payee),
        cumulative=cumulative,
        owed=cumulative if owed is None else owed,
        signature=signature(cumulative),
        updated_at=now,
    )


def issue(
    cumulative: int, *, amount: int, payee: int = 1, spent: Mapping[TorrentId, int] | None = None, day: int = DAY
) -> IssueCheque:
    torrents = {TORRENT: amount} if spent is None else spent
    return IssueCheque(cheque=issued(cumulative, payee=payee), amount=amount, spent=torrents, day=day)


def received(
    cumulative: int, *, payer: int = 1, earned: int = 0, forgiven: int = 0, paid_bytes: int = 0, now: int = NOW
) -> ReceivedCheque:
    return ReceivedCheque(
        rail=RAIL,
        payer=partner(payer),
        payee=ME,
        cumulative=cumulative,
        signature=signature(cumulative),
        earned=earned,
        forgiven=forgiven,
        paid_bytes=paid_bytes,
        updated_at=now,
    )


def torrent(number: int, *, added_at: int = NOW, resume: bytes | None = None) -> TorrentRecord:
    return TorrentRecord(
        id=TorrentId(f"{number:040x}"),
        name=f"torrent {number}",
        save_path=Path("/data") / str(number),
        torrent=b"d4:infod4:name1:xee",
        resume=resume,
        added_at=added_at,
    )
