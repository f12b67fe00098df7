"""Who reads: the tiled Feast online store."""
