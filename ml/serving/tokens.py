"""Tokens with which a model may be asked: in the storage are only their hashes, under names by which they are revoked.

A token is drawn with 256 random bits, so that a plain SHA-256 of it cannot be guessed back.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import secrets
from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime

from ml.adapters import layout
from ml.errors import MissingArtifact, SettingsError
from ml.wiring import Services

PREFIX = "evg_"
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")


@dataclass(frozen=True)
class Token:
    """A token as the storage records it."""

    name: str
    sha256: str
    created_at: datetime


def add(name: str, services: Services) -> str:
    """Draw a token, record its hash, and return the token: nobody can read it again.

    Raises
    ------
    SettingsError
        If the name is none, or taken.
    """
    if not NAME.fullmatch(name):
        raise SettingsError(f"{name!r} cannot name a token: letters, digits, '.', '-' and '_', at most 64")
    token = PREFIX + secrets.token_urlsafe(32)
    facts = {"name": name, "sha256": digest(token), "created_at": datetime.now(UTC).isoformat(timespec="seconds")}
    if not services.storage.create_bytes(layout.serving.serving_token(name), json.dumps(facts).encode()):
        raise SettingsError(f"there is a token {name!r} already; revoke it first, or choose another name")
    return token


def revoke(name: str, services: Services) -> None:
    """Remove a token; the service takes it no longer once it has looked again.

    Raises
    ------
    MissingArtifact
        If there is none of that name.
    """
    path = layout.serving.serving_token(name)
    if not services.storage.exists(path):
        names = ", ".join(token.name for token in recorded(services)) or "none"
        raise MissingArtifact(f"there is no token {name!r}; there are: {names}")
    services.storage.delete(path)


def recorded(services: Services) -> list[Token]:
    """List the tokens, by name; one that was revoked meanwhile is left out."""
    tokens = []
    for path in services.storage.list(layout.serving.SERVING_TOKENS):
        try:
            facts = json.loads(services.storage.get_bytes(path))
        except MissingArtifact:
            continue
        tokens.append(Token(facts["name"], facts["sha256"], datetime.fromisoformat(facts["created_at"])))
    return sorted(tokens, key=lambda token: token.name)


def digest(token: str) -> str:
    """Return the hash under which a token is recorded."""
    return hashlib.sha256(token.encode()).hexdigest()


def holder(token: str, tokens: Collection[Token]) -> str | None:
    """Return the name of the token that was shown; None if it is none of these. Takes equally long for all."""
    shown, name = digest(token), None
    for candidate in tokens:
        if hmac.compare_digest(shown, candidate.sha256):
            name = candidate.name
    return name
