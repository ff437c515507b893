"""Real servers for the tests that need them, and where each comes from.

In this order: an address in the environment (`PLACET_TEST_AMQP_URL` and
`PLACET_TEST_RABBITMQ_MANAGEMENT_URL`, `PLACET_TEST_DATABASE_URL`, `PLACET_TEST_REGISTRY`,
`PLACET_TEST_CADDY_ADMIN` and `PLACET_TEST_CADDY`, `DOCKER_HOST`); a container, where a Docker Engine answers; the
distribution's packages on this machine, started privately on free ports. The fixtures are in
`tests/conftest.py`.
"""

from tests.support.servers.caddy import CaddyServer
from tests.support.servers.docker_engine import DockerEngine
from tests.support.servers.postgresql import PostgreSQL
from tests.support.servers.rabbitmq import RabbitMQ
from tests.support.servers.registry import Registry

__all__ = ["CaddyServer", "DockerEngine", "PostgreSQL", "RabbitMQ", "Registry"]
