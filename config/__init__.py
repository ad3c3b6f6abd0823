"""Settings, network profiles and paths. A leaf: only the composition root and the command line read it."""
