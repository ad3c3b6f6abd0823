"""TRON's rules and java-tron's HTTP API over the local chain: `chain` is the core, `http` the door.

The core, from the inside out: `state` (what a block's root names), `opcodes`, `precompiles` and `tvm` (running code),
`resources` (bandwidth, energy, stakes), `actuators` and `execution` (one transaction), `admission` (what gets that
far), `storage` and `chain` (blocks, time, disk).

What a main network has and this one leaves out: witnesses, votes and rewards; several signatures and changed
permissions; resources delegated to others; energy that costs more in busy contracts ("dynamic energy"); withdrawal of
unstaked TRX as an operation of its own (it comes with the next unstaking); the market and shielded transfers; in the
TVM, Cancun's instructions, those of staking and voting, and checks of many signatures at once.
"""
