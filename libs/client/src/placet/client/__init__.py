"""A typed client of placet's REST API, and where to find the platform."""

from placet.client.client import Client, Log
from placet.client.connection import (
    Connection,
    discovery_file,
    find,
    leave_discovery,
    read_discovery,
    remove_discovery,
)
from placet.client.documents import (
    Awaiting,
    Certificate,
    CloudEvent,
    Command,
    Entry,
    Image,
    Me,
    Model,
    ModelDetail,
    Operation,
    Refusal,
    Source,
    Step,
    Token,
    Verdict,
)

__all__ = [
    "Awaiting",
    "Certificate",
    "Client",
    "CloudEvent",
    "Command",
    "Connection",
    "Entry",
    "Image",
    "Log",
    "Me",
    "Model",
    "ModelDetail",
    "Operation",
    "Refusal",
    "Source",
    "Step",
    "Token",
    "Verdict",
    "discovery_file",
    "find",
    "leave_discovery",
    "read_discovery",
    "remove_discovery",
]
