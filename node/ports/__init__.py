"""The ports: what the services need from the outside world, as typed protocols and plain data."""
