"""Who calls: bearer tokens of placet's own, and those of an OpenID Connect provider, checked by each service itself."""

from placet.identity.callers import Callers, own_person_key, provider_of, read_secret
from placet.identity.provider import Provider
from placet.identity.settings import ProviderSettings

__all__ = ["Callers", "Provider", "ProviderSettings", "own_person_key", "provider_of", "read_secret"]
