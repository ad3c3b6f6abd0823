"""Runs of minutes and many gigabytes of disk: `./run test tests/large`, not part of `./run test`."""
