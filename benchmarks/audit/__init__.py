"""Benchmarks of the audit log: what its tree costs whoever appends, and what it takes to check it."""
