"""The node's faces over HTTP."""
