"""Measured on this machine, in one run, beside the peers: `make bench`."""
