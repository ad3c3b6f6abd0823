"""Files into shards and back: the storage cores with files and threads around them, streaming both ways.

Everything here blocks; call it in a thread. Each call takes `cancelled`, asked once a stripe, and `progress`.
"""
