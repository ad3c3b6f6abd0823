"""A local chain in one process that runs the real contract bytecode: for demos, tests and development only.

`chain` is the core (blocks, transactions, state, time), free of any wire format; `evm_rpc` is its Ethereum JSON-RPC
door; `server` puts both together with the contracts deployed and a faucet. Needs the `devnet` extra (py-evm), which is
why nothing outside imports this package before it is asked for.
"""
