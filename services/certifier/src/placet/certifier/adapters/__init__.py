"""What the certifier's ports are in the world."""
