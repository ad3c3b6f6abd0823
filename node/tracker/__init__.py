"""A small HTTP tracker for private swarms, demos and tests."""
