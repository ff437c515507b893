"""What the deployer's ports are made of."""
