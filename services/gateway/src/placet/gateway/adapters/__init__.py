"""What the gateway's ports are in the world."""
