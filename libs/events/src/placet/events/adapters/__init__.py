"""The only place where drivers are imported: databases and brokers behind the ports."""
