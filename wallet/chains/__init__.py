"""Chains behind one port: `base` says what a chain must do, the others do it."""
