"""Webhooks in: who may send what, and which brief it becomes. Read from the operator's YAML."""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from ipaddress import ip_network
from pathlib import Path
from typing import Any, Literal, Self
from uuid import uuid4

import yaml
from jsonschema import Draft202012Validator, SchemaError
from jsonschema.exceptions import best_match
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator
from standardwebhooks import Webhook, WebhookVerificationError
from standardwebhooks.webhooks import EmptyWebhookSecretError

from infra.adapters.disk import read_text
from infra.adapters.secrets import read_secret
from infra.apps.gateway.problems import ProblemError
from pipelines import plain_yaml, templates
from pipelines.documents.brief import Brief
from pipelines.documents.parsing import parse_brief
from pipelines.errors import BriefError, SettingsError

_STRONG = 24
"""Bytes: the least that the Standard Webhooks specification allows for a secret."""
_NAME = r"^[a-z0-9][a-z0-9-]{0,39}$"


class Source(BaseModel):
    """One sender."""

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)

    name: str = Field(pattern=_NAME)
    scheme: Literal["standard", "github"]
    """`standard`: standardwebhooks.com, with its five-minute replay window. `github`: an HMAC in
    X-Hub-Signature-256 and an id in X-GitHub-Delivery; it carries no time, so a signature is
    taken once."""
    secret: str
    events: tuple[str, ...] = ()
    """Names of events that become a brief; empty for all. `standard`: of `type` in the body;
    `github`: of the header X-GitHub-Event. Others are thanked for and ignored."""
    payload: dict[str, Any] = Field(default_factory=dict, alias="schema")
    """JSON Schema of the body."""
    brief: dict[str, Any]
    """The brief as a template, filled from the body (`pipelines.templates`)."""
    max_bytes: int = Field(100_000, ge=1, le=1_000_000)
    per_minute: int = Field(60, ge=1)

    @field_validator("secret")
    @classmethod
    def _secret_is_there(cls, value: str) -> str:
        if not read_secret(value):  # everybody can sign with an empty one
            raise ValueError(f"the secret {value!r:.80} is empty; put the sender's secret there")
        return value

    @model_validator(mode="after")
    def _can_work(self) -> Self:
        try:
            Draft202012Validator.check_schema(self.payload)
        except SchemaError as error:
            raise ValueError(f"schema: {error.message}") from error
        try:
            templates.check(self.brief)
        except BriefError as error:
            raise ValueError(f"brief: {error}") from error
        if self.scheme == "standard":
            try:
                Webhook(read_secret(self.secret))
            except Exception as error:
                raise ValueError(f"the secret is no Standard Webhooks secret: {error}") from error
        return self

    def delivery(self, headers: Mapping[str, str], body: bytes) -> tuple[str, str]:
        """Id and signature of a request that this sender signed. Raises ProblemError 401."""
        secret = self._secret()
        if self.scheme == "standard":
            try:
                Webhook(secret).verify(body, dict(headers), json_parse=False)
            except (
                *(WebhookVerificationError, EmptyWebhookSecretError),
                *(ValueError, UnicodeDecodeError),
            ) as error:
                raise _unsigned(str(error) or "the signature cannot be read") from error
            return headers["webhook-id"], ""
        given = headers.get("x-hub-signature-256", "")
        expected = _github_signature(secret, body)
        if not hmac.compare_digest(given.encode(), expected.encode()):
            raise _unsigned("the signature is missing or not that of this body")
        if not headers.get("x-github-delivery"):
            raise _unsigned("X-GitHub-Delivery is missing")
        return headers["x-github-delivery"], given

    def signed(self, body: bytes, event: str | None = None) -> dict[str, str]:
        """Headers of a delivery of `body` that this sender signs now. `event` is for the scheme
        `github`, which names it in a header.

        Raises ProblemError 401 if the secret cannot sign this body, and 422 for an `event` that
        the scheme reads elsewhere.
        """
        secret, identity = self._secret(), f"try-{uuid4().hex}"
        if self.scheme == "github":
            return {
                "x-hub-signature-256": _github_signature(secret, body),
                "x-github-delivery": identity,
                **({"x-github-event": event} if event is not None else {}),
            }
        if event is not None:
            words = f"leave out --event: {self.place_of_event} names the event of this source"
            raise ProblemError(422, "invalid", words)
        now = datetime.now(UTC)
        try:
            signature = Webhook(secret).sign(identity, now, body.decode())
        except (EmptyWebhookSecretError, ValueError) as error:
            raise _unsigned(str(error)) from error
        return {
            "webhook-id": identity,
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": signature,
        }

    def proof(self) -> str:
        """That its secret signs a delivery that is taken, in words for the operator.

        Raises SettingsError if it does not.
        """
        body = b'{"type": "proof"}'
        try:
            self.delivery(self.signed(body), body)
            secret = self._secret()
        except ProblemError as error:
            raise SettingsError(f"{self.name}: its secret cannot be used: {error}") from error
        return (
            f"{self.scheme}: {secret_in_words(self.scheme, secret)}; a delivery signed with it is "
            f"taken; {self.place_of_event} names the event"
        )

    @property
    def place_of_event(self) -> str:
        """Where a delivery names its event."""
        return "the header X-GitHub-Event" if self.scheme == "github" else "`type` in the body"

    def _secret(self) -> str:
        """Raises ProblemError 401 if its file is gone or empty since the start."""
        try:
            secret = read_secret(self.secret)
        except ValueError as error:
            raise _unsigned("the secret of this source cannot be read") from error
        if not secret:
            raise _unsigned("the secret of this source is empty")
        return secret

    def event_of(self, headers: Mapping[str, str], payload: Any) -> str:
        """What happened at the sender."""
        if self.scheme == "github":
            return headers.get("x-github-event", "")
        return str(payload.get("type", "")) if isinstance(payload, dict) else ""

    def wants(self, event: str) -> bool:
        return not self.events or event in self.events

    def brief_of(self, payload: Any) -> Brief:
        """The brief of a body. Raises BriefError naming what is wrong with it."""
        problem = best_match(Draft202012Validator(self.payload).iter_errors(payload))
        if problem is not None:
            where = "/".join(str(part) for part in problem.absolute_path) or "the body"
            raise BriefError(f"{where}: {problem.message[:200]}")
        return parse_brief(templates.fill(self.brief, payload))


class Endpoint(BaseModel):
    """Where our events go."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(pattern=_NAME)
    url: str = Field(pattern=r"^https?://[^\s/@]+(/\S*)?$")
    secret: str
    events: tuple[
        Literal["accepted", "progress", "completed", "failed", "awaiting_approval", "disk_low"], ...
    ] = ("accepted", "progress", "completed", "failed", "awaiting_approval")
    """`disk_low` is no event of a run, and has other data: who wants it names it."""
    networks: tuple[str, ...] = ()
    """Private networks that the address may lie in, as in 10.1.0.0/16; public ones always may."""

    @field_validator("secret")
    @classmethod
    def _is_standard(cls, value: str) -> str:
        Webhook(read_secret(value))
        return value

    @field_validator("networks")
    @classmethod
    def _are_networks(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for item in value:
            ip_network(item)
        return value


@dataclass(frozen=True)
class Hooks:
    """The operator's file."""

    sources: dict[str, Source]
    endpoints: tuple[Endpoint, ...]


def read_hooks(path: Path | None) -> Hooks:
    """The hooks in `path`. Raises SettingsError naming every entry that cannot be used."""
    if path is None:
        return Hooks({}, ())
    name = f"REELWRIGHT_GATEWAY_HOOKS={path}"
    try:
        root = plain_yaml.compose(read_text(path, name))
        values = plain_yaml.construct(root) if root else {}
    except yaml.YAMLError as error:
        raise SettingsError(f"{name} is no YAML: {error}") from error
    problems: list[str] = []
    sources = _each(Source, values, "sources", problems)
    endpoints = _each(Endpoint, values, "endpoints", problems)
    if problems:
        raise SettingsError(f"{path}: {'; '.join(problems)}")
    return Hooks({item.name: item for item in sources}, tuple(endpoints))


def _each(kind: type[Any], values: Any, word: str, problems: list[str]) -> list[Any]:
    listed = values.get(word, []) if isinstance(values, dict) else None
    if not isinstance(listed, list):
        problems.append(f"{word} must be a list")
        return []
    found = []
    for item in listed:
        name = item.get("name", "?") if isinstance(item, dict) else "?"
        try:
            found.append(kind.model_validate(item))
        except (ValidationError, ValueError) as error:
            words = str(error)
            if isinstance(error, ValidationError):
                words = ", ".join(
                    f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors()
                )
            problems.append(f"{word} {name}: {words}")
    return found


def secret_in_words(scheme: str, secret: str) -> str:
    """How long the key of a secret is, and what is weak about it."""
    if scheme == "github":
        length = len(secret.encode())
    else:
        text = secret.removeprefix("whsec_")
        try:
            length = len(base64.b64decode(text + "=" * (-len(text) % 4), validate=True))
        except binascii.Error:
            # The library drops what is no base64; another sender's library may not.
            return "a secret that is no clean base64, which other libraries may read in another way"
    weak = f", fewer than the {_STRONG} that are advised" if length < _STRONG else ""
    return f"a secret of {length} bytes{weak}"


def _github_signature(secret: str, body: bytes) -> str:
    return "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


def _unsigned(reason: str) -> ProblemError:
    return ProblemError(401, "unsigned", f"{reason}; nothing was started")
