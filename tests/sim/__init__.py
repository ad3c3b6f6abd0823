"""The market in simulation: the real pure cores of `node.speed` in a swarm of up to 10^4 peers. `./run sim` lists what runs.

What is real: auction and allocation, strategies, credit accounts, newcomers' budgets, reputation, money as integers.
What is a model: BitTorrent itself (`swarm`, `choker`, `flow`), in rounds of one second. It departs from the world where

* bytes flow as a fluid within a round: no latency, no TCP, no request pipelines, no block-level endgame waste;
* a message of one round takes effect in the next (bids) or at its end (cheques), and signatures are not computed;
* neighbour sets are drawn once (no re-announce), rarity is counted over the swarm instead of the neighbourhood;
* all peers rechoke in the same round, every ten seconds.

`test_model.py` holds the model against the sessions that run in the node, message by message.
"""
