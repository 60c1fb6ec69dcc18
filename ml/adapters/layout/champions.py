"""Name the records of who serves, and the claims by which one decision follows another; read such names back."""

from __future__ import annotations

import hashlib
import re
from typing import Literal

ModelRecord = Literal["promoted", "registered"]
MODEL_RECORDS: tuple[ModelRecord, ...] = ("promoted", "registered")


def model_record(kind: ModelRecord, version: int, run_id: str) -> str:
    """Return the record of a model that was promoted or registered."""
    return f"{model_records(kind, version)}run={run_id}.json"


def model_records(kind: ModelRecord, version: int | None = None) -> str:
    """Return the prefix of the records of a version; None means those of all versions."""
    return f"{kind}/version={'' if version is None else f'{version}/'}"


def promoted_decision(digest: str) -> str:
    """Return the record of a change of the champion; ``digest`` is of its facts."""
    return f"promoted/decision={digest[:32]}.json"


def run_of(record: str) -> str:
    """Return the run that a `model_record` is of."""
    return record.rpartition("run=")[2].removesuffix(".json")


def claim(book: str, after: str | None, number: int = 0) -> str:
    """Return the claim to follow the decision with key ``after`` (None: the first), the ``number``-th try."""
    return f"claims/{book}/after={digest(after) if after is not None else 'none'}{_numbered(number)}.json"


def withdrawal(claim: str) -> str:
    """Return the file that says why a claim no longer holds."""
    return claim.replace("/after=", "/withdrawn=")


def mirroring_run(book: str, key: str, number: int = 0) -> str:
    """Return the file that names the run of MLflow that mirrors the change with that key."""
    return f"claims/{book}/decision={digest(key)}{_numbered(number)}"


def claims(model: str) -> str:
    """Return the prefix of all claims of a model."""
    return f"claims/{model}-"


def is_claim(name: str, model: str) -> bool:
    """Check whether a name is that of a claim of a model."""
    return re.fullmatch(rf"claims/{re.escape(model)}-\d+/after=[^/]+\.json", name) is not None


def book_of(claim: str) -> str:
    """Return the book of a claim."""
    return claim.split("/")[1]


def after_of(claim: str) -> str:
    """Return the `digest` of the decision that a claim follows, or ``none``."""
    return claim.rpartition("/after=")[2].partition(".")[0]


def damaged(name: str) -> str:
    """Return where a damaged file is moved."""
    return f"damaged/{name}"


def digest(key: str) -> str:
    """Shorten a key to what a name can hold."""
    return hashlib.sha256(key.encode()).hexdigest()[:32]


def _numbered(number: int) -> str:
    return f".{number}" if number else ""
