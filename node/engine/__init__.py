"""BitTorrent engines behind the port: libtorrent, and one in memory for tests and simulation."""
