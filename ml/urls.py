"""Cut what is secret from URLs, and from any text that may hold one.

Every URL passes here before it is logged, recorded, mailed, raised or shown: what leads Git, MLflow, S3 or a source
to the right place may carry a password (``https://user:password@host``) or a token (``?token=…``). Both are known
by where they stand in a URL, so that no list of names is needed.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote, urlsplit

HIDDEN, CUT = "***", "..."

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*://[^\s\"'<>|\\^`]+")
_USER = re.compile(r"(?<=://)[^/?#\s]*@")
_VALUE = re.compile(r"([?&;][^=&;#?]+=)([^&;#]*)")
_PLACEHOLDER = re.compile(r"\{\w*\}")
_SHORTEST = 6
"""Characters of a secret that may be looked for in any text; a shorter one would hide ordinary words."""


def without_secrets(url: str) -> str:
    """Return a URL without user, password, the values of its query, and a fragment that is no path of a web page.

    What has no ``://`` is a path, or ``host:path`` of Git, and comes back as it is. A value of the query in which a
    placeholder stands (``{day}``) stays, so that a pattern remains one.

    Examples
    --------
    >>> without_secrets("https://me:secret@host/data?day={day}&sig=abc")
    'https://host/data?day={day}&sig=***'
    >>> without_secrets("/var/registry.git")
    '/var/registry.git'
    """
    if "://" not in url:
        return url
    url, _, fragment = url.partition("#")
    url = _USER.sub("", url, count=1)
    path, mark, query = url.partition("?")
    end = f"#{fragment}" if fragment.startswith("/") else ""
    if query.rstrip(",;:)]") == CUT:  # cut before, and a sentence goes on behind it
        return url + end
    if mark and "=" not in query and not _PLACEHOLDER.search(query):
        return f"{path}?{HIDDEN}{end}"
    return path + _VALUE.sub(_hide_value, mark + query) + end


def redact(text: str, environ: Mapping[str, str] = os.environ) -> str:
    """Cut what is secret from every URL in a text, and the secrets of the environment's URLs wherever they stand."""
    for secret in secrets_in(environ):
        text = text.replace(secret, HIDDEN)
    return _URL.sub(lambda match: without_secrets(match[0]), text) if "://" in text else text


def redact_all(facts: Any, environ: Mapping[str, str] = os.environ) -> Any:
    """Redact every text in plain facts (what JSON holds); keys stay."""
    if isinstance(facts, str):
        return redact(facts, environ)
    if isinstance(facts, Mapping):
        return {key: redact_all(value, environ) for key, value in facts.items()}
    if isinstance(facts, list | tuple):
        return type(facts)(redact_all(value, environ) for value in facts)
    return facts


def secrets_in(environ: Mapping[str, str]) -> list[str]:
    """List the passwords and query values in the URLs that our variables hold, longest first."""
    named = [value for name, value in environ.items() if name.startswith(("EVERGREEN_", "MLFLOW_", "AWS_ENDPOINT"))]
    return secrets_of(*(value for value in named if "://" in value))


def secrets_of(*urls: str) -> list[str]:
    """List what is secret in URLs, as written there and as decoded, longest first."""
    secrets: set[str] = set()
    for url in urls:
        try:
            parts = urlsplit(url)
            password = parts.password
        except ValueError:
            continue
        values = [value for _, value in _VALUE.findall(f"?{parts.query}") if not _PLACEHOLDER.search(value)]
        secrets |= {text for value in (password, *values) if value for text in (value, unquote(value))}
    return sorted((text for text in secrets if len(text) >= _SHORTEST), key=lambda text: (-len(text), text))


def _hide_value(match: re.Match[str]) -> str:
    return match[0] if _PLACEHOLDER.search(match[2]) or not match[2] else match[1] + HIDDEN
