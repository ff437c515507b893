"""What a service needs to know of an OpenID Connect provider: the same for each service that takes tokens.

Nothing here is secret but what the files hold that it names. Without an issuer nobody's tokens are taken but our own.
"""

from __future__ import annotations

import re
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any, Self, get_args
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from placet.events import ServiceSettings
from placet.trust.tokens import Role

ROLES: tuple[Role, ...] = get_args(Role)
USUAL_ROLES = ",".join(f"placet-{role}={role}" for role in ROLES)


def is_loopback(host: str | None) -> bool:
    """Whether nothing leaves this machine on the way there."""
    try:
        return host == "localhost" or ip_address(host or "").is_loopback
    except ValueError:
        return False


def is_safe(url: str) -> bool:
    """Whether what comes from there can be believed: HTTPS, or plain HTTP that does not leave this machine."""
    if re.fullmatch(r"[!-~]+", url) is None:
        return False
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        return False
    if not parts.hostname or "@" in parts.netloc or parts.fragment:
        return False
    return parts.scheme == "https" or (parts.scheme == "http" and is_loopback(parts.hostname))


def _issuer(url: str) -> str:
    if url and (not is_safe(url) or "?" in url):
        raise ValueError(
            "must be the provider's issuer as its tokens say it, https://host[:port][/path], or http:// on this machine"
        )
    return url


def roles_by_value(text: str) -> dict[str, frozenset[Role]]:
    """`value=role,value=role`, as what each value gives. Raises ValueError, which names the entry."""
    found: dict[str, frozenset[Role]] = {}
    for entry in filter(None, (each.strip() for each in text.split(","))):
        value, _, role = (part.strip() for part in entry.partition("="))
        named = [each for each in ROLES if each == role]
        if not value or not named:
            raise ValueError(
                f"{entry!r} must be VALUE=ROLE, with a role of {', '.join(ROLES)}; a value with = or a comma in it"
                " cannot be named here, so have the provider send another name of it"
            )
        found[value] = found.get(value, frozenset()) | set(named)
    return found


def _roles(text: str) -> str:
    roles_by_value(text)
    return text


def _or_none(given: Any) -> Any:
    """What a compose file leaves empty was not given: a folder is no file."""
    return None if given == "" else given


OptionalPath = Annotated[Path | None, BeforeValidator(_or_none)]


class ProviderSettings(ServiceSettings):
    oidc_issuer: Annotated[str, AfterValidator(_issuer)] = Field(
        default="",
        description="the OpenID Connect provider whose tokens are taken beside placet's own, as its tokens say it in"
        " `iss`, such as https://login.example.org/realms/risk; without it there is none",
    )
    oidc_client_id: str = Field(
        default="",
        max_length=255,
        pattern=r"^[ -~]*$",
        description="what the provider calls placet: tokens whose `aud` names it are taken, and by it the console signs"
        " people in",
    )
    oidc_audience: str = Field(
        default="",
        max_length=255,
        pattern=r"^[ -~]*$",
        description="what else `aud` may name: where the provider makes access tokens for an API of its own name",
    )
    oidc_roles_claim: str = Field(
        default="groups",
        min_length=1,
        max_length=255,
        description="the claim that says what gives roles; with dots where it lies inside another, such as"
        " realm_access.roles",
    )
    oidc_roles: Annotated[str, AfterValidator(_roles)] = Field(
        default=USUAL_ROLES,
        description="which of that claim's values gives which role: value=role, with commas between; who has none of"
        " them is not let in",
    )
    oidc_name_claim: str = Field(
        default="email",
        min_length=1,
        max_length=255,
        description="the claim that names the person, as people here know each other; a mail that the provider calls"
        " unverified is refused",
    )
    oidc_teams_claim: str = Field(
        default="",
        max_length=255,
        description="the claim that says of which teams somebody is, beside those that placet itself knows them to be"
        " of: its values are names of teams, and others are passed over; without it there is none",
    )
    oidc_person_key: OptionalPath = Field(
        default=None,
        description="file with the secret that makes opaque ids of the provider's people: 32 characters or more, the"
        " same for every service, and for good",
    )

    @model_validator(mode="after")
    def _must_fit(self) -> Self:
        if not self.oidc_issuer:
            alone = [name for name in ("oidc_client_id", "oidc_audience") if getattr(self, name)]
            if alone:
                raise ValueError(
                    f"PLACET_{alone[0].upper()} is set and PLACET_OIDC_ISSUER is not: set both, or neither"
                )
            return self
        if not self.oidc_client_id and not self.oidc_audience:
            raise ValueError(
                "PLACET_OIDC_ISSUER is set, and neither PLACET_OIDC_CLIENT_ID nor PLACET_OIDC_AUDIENCE: tokens that the"
                " provider made for others must not open anything here, so say whom ours are for"
            )
        if not self.oidc_person_key:
            raise ValueError(
                "PLACET_OIDC_ISSUER is set and PLACET_OIDC_PERSON_KEY is not: make a file with"
                " `openssl rand -hex 32`, and give the same one to every service"
            )
        return self

    @property
    def oidc_audiences(self) -> frozenset[str]:
        return frozenset(filter(None, (self.oidc_client_id, self.oidc_audience)))
