"""How quick the event library is, on a real PostgreSQL that syncs to disk and a real RabbitMQ."""
