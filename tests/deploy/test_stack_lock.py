"""The full stack runs on the releases that the tests run on, but for what it cannot."""

from __future__ import annotations

import re
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]
OTHER = {"celery"}
"""Held back in requirements-stack.in, which says why."""


def pins(lock: str) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    text = (PROJECT / lock).read_text(encoding="utf-8")
    for name, release in re.findall(r"^([a-z0-9][a-z0-9._-]*)(?:\[[^]]*\])?==(\S+)", text, flags=re.MULTILINE):
        found.setdefault(name, set()).add(release)
    return found


def test_the_stack_has_every_release_of_the_laptop() -> None:
    here, there = pins("requirements.txt"), pins("requirements-stack.txt")
    assert {name for name in here if there.get(name) != here[name]} <= OTHER


def test_every_pin_of_the_stack_carries_hashes() -> None:
    text = (PROJECT / "requirements-stack.txt").read_text(encoding="utf-8").replace("\\\n", " ")
    lines = [line for line in text.splitlines() if re.match(r"[A-Za-z0-9]", line)]
    assert len(lines) > 250
    assert [line[:60] for line in lines if "==" not in line or "--hash=sha256:" not in line] == []


def test_celery_is_one_that_airflows_provider_can_import() -> None:
    (release,) = pins("requirements-stack.txt")["celery"]
    assert tuple(map(int, release.split(".")[:2])) < (5, 7)
