"""What the indexer's ports are in the world."""
