"""What happened, provably: the audit log of every event of every service."""
