"""`./run demo`: a paid download on one machine, with real processes, a real contract, and books that must agree."""
