"""What the gateway needs to know about its surroundings."""

from __future__ import annotations

from pathlib import Path
from typing import Self

from pydantic import Field, model_validator

from placet.identity import ProviderSettings
from placet.identity.settings import OptionalPath

TEN_YEARS = 3652
"""Days. So long the documents of a system of high risk are to be at hand (EU AI Act, article 18)."""


class GatewaySettings(ProviderSettings):
    registry: str = Field(
        description="the OCI registry: http(s)://host:port, or a folder for an image layout"
    )
    token_key: Path = Field(
        description="file with the Ed25519 key that signs tokens; made if it is not there, "
        "with a .json beside it for those who verify"
    )
    admin_token_file: OptionalPath = Field(
        default=None,
        description="where the first admin token is written, once, readable by this user only; without it none is, and"
        " `python -m placet.gateway.admin_token` makes one",
    )
    stall_seconds: float = Field(
        default=900.0, gt=0, description="silence after which an operation counts as stalled"
    )
    exception_days: int = Field(
        default=90,
        ge=1,
        le=3650,
        description="how far ahead an exception from a rule may end at most, in days",
    )
    keep_words_days: int = Field(
        default=TEN_YEARS,
        ge=1,
        le=36500,
        description="how long what people wrote as reasons and summaries is kept at least, in days",
    )
    keep_answers_days: int = Field(
        default=TEN_YEARS,
        ge=1,
        le=36500,
        description="how long answers to questionnaires are kept at least, in days",
    )
    keep_facts_days: int = Field(
        default=TEN_YEARS,
        ge=1,
        le=36500,
        description="how long what rules saw of people is kept at least, in days",
    )
    reports_per_day: int = Field(
        default=2000, gt=0, description="reports of one kind that are taken of one project within a day"
    )
    max_source_bytes: int = Field(
        default=1024**3, gt=0, description="largest source archive, in bytes as sent"
    )
    git_hosts: str = Field(
        default="",
        description="hosts that sources may be fetched from by git, with commas between, such as"
        " github.com,git.example.org:8443; http:// in front of one that has no TLS; none unless named",
    )
    git_seconds: float = Field(default=120.0, gt=0, description="how long fetching one source may take")
    model_silence_seconds: float = Field(
        default=300.0, gt=0, description="how long a model may say nothing before its caller is told so"
    )
    model_requests: int = Field(
        default=256, gt=0, description="requests under way to one model, before more are told to come back"
    )
    models_requests: int = Field(
        default=1024,
        gt=0,
        description="requests under way to all models, before more are told to come back; at most a quarter of the"
        " descriptors that the gateway may open",
    )

    reads_per_second: int = Field(
        default=3000,
        ge=0,
        description="how often one person may read, in each process of the gateway; ten times as much at once; 0: no"
        " limit",
    )
    writes_per_second: int = Field(
        default=500,
        ge=0,
        description="the same of what changes something: commands, uploads, reports and all that is sent",
    )
    failures_per_second: int = Field(
        default=20,
        ge=0,
        description="how often one address is told why its token does not hold, before it is told to come back later;"
        " 0: always",
    )

    api_url: str = Field(
        default="",
        description="where the console finds the REST API of all services: the edge's address, such as"
        " https://models.example.org; without it there is no console",
        pattern=r"^(https?://[!-~]+)?$",
    )
    api_internal_url: str | None = Field(
        default=None,
        description="the same as the gateway itself reaches it, where people have another address for it, such as"
        " http://edge:8080 in a network of containers",
        pattern=r"^https?://[!-~]+$",
    )

    api_ca: OptionalPath = Field(
        default=None,
        description="file with the authority that signs for that address, in PEM, beside those that are believed"
        " otherwise (SSL_CERT_FILE)",
    )

    oidc_client_secret_file: OptionalPath = Field(
        default=None,
        description="file with the secret that the provider gave placet, for signing in to the console; without one"
        " placet is a public client there",
    )
    oidc_scopes: str = Field(
        default="openid email profile",
        max_length=1000,
        pattern=r"^[!#-\[\]-~]+( [!#-\[\]-~]+)*$",
        description="what the console asks the provider for, with spaces between; what brings the claim of the roles"
        " belongs here, where the provider wants that",
    )

    @model_validator(mode="after")
    def _must_have_a_client(self) -> Self:
        if self.oidc_client_secret_file is not None and not (self.oidc_issuer and self.oidc_client_id):
            raise ValueError(
                "PLACET_OIDC_CLIENT_SECRET_FILE is set, and not both PLACET_OIDC_ISSUER and PLACET_OIDC_CLIENT_ID: the"
                " secret is of that client at that provider"
            )
        return self

    @property
    def allowed_git_hosts(self) -> frozenset[str]:
        return frozenset(host.strip().lower() for host in self.git_hosts.split(",") if host.strip())
