"""Read from the environment which broker is read, and which topics."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, unquote, urlsplit

from ml.errors import SettingsError
from ml.urls import without_secrets

URL = "EVERGREEN_STREAM_URL"
TOPICS = {
    "inputs": ("EVERGREEN_STREAM_INPUTS", "{model}.inputs"),
    "predictions": ("EVERGREEN_STREAM_PREDICTIONS", "{model}.predictions"),
    "rejected": ("EVERGREEN_STREAM_REJECTED", "{model}.rejected"),
    "group": ("EVERGREEN_STREAM_GROUP", "evergreen-{model}"),
}
"""What each name stands for, the variable that gives it, and what counts without it."""

ADDRESS = ("EVERGREEN_STREAM_HOST", "EVERGREEN_STREAM_PORT")
LOOPBACK, PORT = "127.0.0.1", 8087
PLACEHOLDER = "{model}"
KINDS = {"kafka": "kafka", "kafkas": "kafka", "redis": "redis", "rediss": "redis"}
MECHANISMS = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")
SWITCH = {"on": True, "off": False}
KAFKA_FORM = "kafka[s]://[USER:PASSWORD@]HOST:PORT[,HOST:PORT][?mechanism=SCRAM-SHA-512][&idempotence=off]"
EXAMPLE = "kafka://broker:9092 or redis://broker:6379/0"


@dataclass(frozen=True)
class Kafka:
    """How a Kafka cluster is reached; without a user nobody logs in.

    Attributes
    ----------
    is_idempotent
        Whether the broker gives producers an identity, by which it drops what they send twice in one connection. Not
        every broker of this protocol does.
    """

    servers: tuple[str, ...]
    encrypted: bool
    user: str = ""
    password: str = field(default="", repr=False)
    mechanism: str = "PLAIN"
    is_idempotent: bool = True


@dataclass(frozen=True)
class StreamPlaces:
    """The broker, topics and consumer group of one model.

    Attributes
    ----------
    url
        The broker's address, with its password.
    kafka
        The same, taken apart; None for Redis.
    """

    url: str = field(repr=False)
    inputs: str
    predictions: str
    rejected: str
    group: str
    kafka: Kafka | None = None

    @classmethod
    def load(cls, model: str, *, of: int, environ: Mapping[str, str] = os.environ) -> StreamPlaces:
        """Read ``EVERGREEN_STREAM_*`` for a model, one of so many that are consumed together.

        Raises
        ------
        SettingsError
            If a variable is missing, unknown or wrong, or if two topics or two models would be one.
        """
        known = {URL, *ADDRESS, *(variable for variable, _ in TOPICS.values())}
        family = URL.removesuffix("URL")
        if unknown := sorted(name for name in environ if name.startswith(family) and name not in known):
            raise SettingsError(f"{unknown[0]} is not a variable; there are {', '.join(sorted(known))}")
        if not (url := environ.get(URL, "")):
            raise SettingsError(f"{URL} is not set: give the broker's address, such as {EXAMPLE}")
        names = {}
        for name, (variable, default) in TOPICS.items():
            pattern = environ.get(variable) or default
            if of > 1 and PLACEHOLDER not in pattern:
                raise SettingsError(f"{variable}={pattern} is the same for {of} models; let it have {PLACEHOLDER}")
            names[name] = pattern.replace(PLACEHOLDER, model)
        topics = [names[name] for name in ("inputs", "predictions", "rejected")]
        if len({*topics}) < len(topics):
            raise SettingsError(f"the topics {', '.join(topics)} must differ; see {family}*")
        return cls(url, **names, kafka=_kafka_of(url) if _kind(url) == "kafka" else None)


def address(environ: Mapping[str, str] = os.environ) -> tuple[str, int]:
    """Read where health and metrics are answered."""
    host_variable, port_variable = ADDRESS
    port = environ.get(port_variable) or str(PORT)
    if not port.isdecimal() or not 0 < int(port) < 65536:
        raise SettingsError(f"{port_variable}={port!r} is not a port; give a number from 1 to 65535")
    return environ.get(host_variable) or LOOPBACK, int(port)


def _kind(url: str) -> str:
    scheme = url.partition("://")[0]
    if scheme not in KINDS:
        raise SettingsError(f"{URL}={without_secrets(url)} is not a broker's address; give one such as {EXAMPLE}")
    return KINDS[scheme]


def _kafka_of(url: str) -> Kafka:
    """Take a URL of `KAFKA_FORM` apart."""
    parts = urlsplit(url)
    login, _, hosts = parts.netloc.rpartition("@")
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    mechanism, idempotence = options.pop("mechanism", "PLAIN"), options.pop("idempotence", "on")
    if options or parts.path not in {"", "/"} or not all(hosts.split(",")):
        raise SettingsError(f"write {URL} as {KAFKA_FORM}, not {without_secrets(url)}")
    if mechanism not in MECHANISMS:
        raise SettingsError(f"{URL}: mechanism is {mechanism!r}; use one of {', '.join(MECHANISMS)}")
    if idempotence not in SWITCH:
        raise SettingsError(f"{URL}: idempotence is {idempotence!r}; use one of {', '.join(SWITCH)}")
    user, _, password = login.partition(":")
    return Kafka(
        tuple(hosts.split(",")),
        parts.scheme == "kafkas",
        unquote(user),
        unquote(password),
        mechanism,
        SWITCH[idempotence],
    )
