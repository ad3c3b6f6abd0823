"""The renter: files on strangers' machines, kept there, watched, repaired, and brought back.

    store ─▶ pack ─▶ place (quote, propose, fund, open) ─▶ deliver ─▶ kept ─▶ forget
                        ▲                                     │
                        └── repair (fetch k, rebuild) ◀── watch (audit, vouch, renew, dispute)

`keeper.Renter` is the face of it. The records of `node.ports.renting` are the truth, and each module reads what is to
be done from them, so that a start after a crash is no case of its own.
"""
