"""`StorageMarket` and `HostRegistry` on a chain: their calls, their state and their events."""
