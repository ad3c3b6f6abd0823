"""Our contracts: Solidity sources, their committed artifacts, and `loader` to read them."""
