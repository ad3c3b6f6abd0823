"""The market in simulation: the real pure cores of `node.speed` in swarms of up to 10^4 peers (`./run sim`).

What is real: the auction, the free share, what a seller learns of its buyers' lines, strategies, credit accounts,
newcomers' budgets, and money as integers. What is a model: BitTorrent itself (`pieces`, `choker`, `flow`), in rounds of
one second. It departs from the world where

* bytes flow as a fluid within a round: no latency, no TCP, no request pipelines, no block-level endgame waste;
* bids take effect in the next round, cheques come every `CreditPolicy.round_trip_ms`, and nothing is signed;
* weights reach their targets exactly: `node.speed.allocation`'s rounding of weights is not simulated;
* what free peers leave of their share goes to nobody (in the node, to the buyers): payers get rather less than really;
* a buyer bids the same to all of its sellers, and divides its balance equally among them (no `preference`, no
  `bidder.Purse`); `deadline` does not know what comes for nothing (`Progress.free_rate`);
* neighbour sets are drawn once (no re-announce), rarity is counted over the swarm instead of the neighbourhood;
* all peers rechoke in the same round, every ten seconds.

`test_model.py` holds the model against the node's market service and its sessions: same shares, same prices.
"""
