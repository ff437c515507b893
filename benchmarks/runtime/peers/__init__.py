"""Handlers that run inside the environments of the servers they belong to."""
