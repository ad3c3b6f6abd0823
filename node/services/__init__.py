"""The services: asyncio shells around the pure cores. They see the world through ports only."""
