"""The command line: thin clients of the local API, and the commands that need no running node."""
