"""`python -m node.cli`."""

from node.cli.main import run

run()
