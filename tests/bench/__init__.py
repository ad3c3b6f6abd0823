"""Benchmarks: `./run bench [NAME ...] [--json OUT]`. Not tests: machines are shared and noisy."""
