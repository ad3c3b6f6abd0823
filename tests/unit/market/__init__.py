"""The bindings of the storage contracts, without a chain."""
