"""What the store keeps of a trade: the seller's account, the buyer's debts, bytes and amounts, and whom we met."""

from __future__ import annotations

from node.ports.store import Counterparty, Direction, ReceivedCheque, Role, Store, Transfer
from node.services.trades import AccountKey, Trade, Trades
from node.speed.credit import SellerAccount
from wallet.address import Address


def received_cheque(
    key: AccountKey, own: Address, account: SellerAccount, cumulative: int, signature: bytes, wall: int
) -> ReceivedCheque:
    """The record of a payer's account with this cheque."""
    return ReceivedCheque(
        rail=key[0],
        payer=key[1],
        payee=own,
        cumulative=cumulative,
        signature=signature,
        earned=account.earned,
        forgiven=account.forgiven,
        paid_bytes=account.paid_bytes,
        updated_at=wall,
    )


async def keep(store: Store, trades: Trades, trade: Trade, own: Address, wall: int) -> None:
    """Make durable what a connection has brought about since the last time."""
    for key, role in ((trade.seller_key, Role.PAYER), (trade.buyer_key, Role.PAYEE)):
        if key is not None:
            await store.save_counterparty(
                Counterparty(
                    rail=key[0],
                    address=key[1],
                    role=role,
                    first_seen=trade.opened_at,
                    last_seen=wall,
                    host=trade.host,
                    port=trade.port,
                )
            )
    async with trades.recording:
        await _keep_figures(store, trades, trade, own, wall)
    trades.recorded(trade)


async def _keep_figures(store: Store, trades: Trades, trade: Trade, own: Address, wall: int) -> None:
    transfers = []
    if trade.seller and trade.seller_key:
        account = trades.sellers[trade.seller_key]
        await store.save_earned(
            received_cheque(trade.seller_key, own, account, account.accepted, account.signature, wall)
        )
        new = (trade.seller.meter.bytes, trade.seller.meter.amount)
        transfers.append(_transfer(trade, trade.seller_key, Direction.SENT, trade.recorded_sent, new))
        trade.recorded_sent = new
    if trade.buyer and trade.buyer_key:
        book = trades.buyers[trade.buyer_key]
        await store.save_owed(trade.buyer_key[0], own, trade.buyer_key[1], book.account.owed)
        new = (trade.buyer.verifier.payable_bytes, trade.buyer.counted)
        transfers.append(_transfer(trade, trade.buyer_key, Direction.RECEIVED, trade.recorded_received, new))
        trade.recorded_received = new
    if transfers:
        await store.add_transfers([transfer for transfer in transfers if transfer.bytes or transfer.amount])


def _transfer(
    trade: Trade, key: AccountKey, direction: Direction, old: tuple[int, int], new: tuple[int, int]
) -> Transfer:
    return Transfer(
        torrent=trade.torrent,
        rail=key[0],
        counterparty=key[1],
        direction=direction,
        bytes=new[0] - old[0],
        amount=new[1] - old[1],
    )


async def priced_bytes(store: Store, trades: Trades, key: AccountKey, direction: Direction) -> int:
    """Bytes moved at a price with one counterparty: what is recorded, and what open connections add to it."""
    total = sum(
        transfer.bytes
        for transfer in await store.transfers(counterparty=key[1])
        if transfer.rail == key[0] and transfer.direction is direction
    )
    for trade in trades.open.values():
        if direction is Direction.SENT and trade.seller_key == key and trade.seller:
            total += trade.seller.meter.bytes - trade.recorded_sent[0]
        if direction is Direction.RECEIVED and trade.buyer_key == key and trade.buyer:
            total += trade.buyer.verifier.payable_bytes - trade.recorded_received[0]
    return total
