"""Paying for upload priority: the pure core of BitTorrent Speed. No clock, no sockets, no storage."""
