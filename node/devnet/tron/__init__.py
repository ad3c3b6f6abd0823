"""TRON's rules and java-tron's HTTP API over the local chain: `chain` is the core, `http` the door."""
