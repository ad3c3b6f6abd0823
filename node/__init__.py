"""The peer, the market, the daemon and its faces."""

__version__ = "0.1.0"
