"""Settings are YAML 1.2, as DVC reads and writes it."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import pytest
from dvc.utils.serialize import load_yaml

from ml.errors import SettingsError
from ml.settings import dump, read
from ml.yaml_file import parse

NUMBERS = {
    "1e-3": 0.001,
    "1e-05": 1e-05,
    "1E3": 1000.0,
    "-1E-3": -0.001,
    "+1e+2": 100.0,
    ".5e3": 500.0,
    ".5": 0.5,
    "1.": 1.0,
    "010": 10,
    "08": 8,
    "0o17": 15,
    "0x1F": 31,
    "-.inf": float("-inf"),
}
TEXTS = ["yes", "no", "on", "off", "y", "N", "12:30:00", "1e", "e5", "0o8", "=", '"1e-3"', "'2026-01-01'"]


@pytest.mark.parametrize("written", NUMBERS)
def test_a_number_is_what_yaml_1_2_says(written: str) -> None:
    found = parse(f"C: {written}")["C"]
    assert found == NUMBERS[written]
    assert type(found) is type(NUMBERS[written])


@pytest.mark.parametrize("written", TEXTS)
def test_what_yaml_1_1_made_truths_and_times_is_text(written: str) -> None:
    assert parse(f"C: {written}") == {"C": written.strip("\"'")}


def test_dates_are_dates_as_values_and_as_keys() -> None:
    assert parse("{last_day: 2026-01-01, 2026-01-02: x}") == {"last_day": date(2026, 1, 1), date(2026, 1, 2): "x"}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("C: 1\nC: 2", r"line 2, column 1: found duplicate key"),
        ("last_day: 2026-02-30", r"day"),
        ("C: !!python/object/apply:os.system [true]", r"line 1.*constructor"),
        ("C: [1", r"line 1, column 6: expected"),
    ],
)
def test_what_is_wrong_is_named_by_line(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "params.yaml").write_text(text)
    with pytest.raises(SettingsError, match=rf"params.yaml: not readable as YAML \(.*{said}.*\); fix the file"):
        read(tmp_path / "params.yaml")


def test_what_is_written_is_read_back_here_and_by_dvc(tmp_path: Path) -> None:
    content: dict[str, Any] = {
        "texts": [
            "1e-3",
            "010",
            "0o17",
            "yes",
            "no",
            "off",
            "1_000",
            "12:30",
            "2026-01-01",
            "null",
            "~",
            "",
            "<<",
            "é",
        ],
        "numbers": [1e-05, 1e22, 0.1, 0.0, -3, 10**20, float("inf")],
        "others": [True, None, date(2026, 1, 1)],
        date(2026, 1, 2): {"a": {}, "b": []},
        "long": "word " * 60,
    }
    path = tmp_path / "params.yaml"
    path.write_text(dump(content), encoding="utf-8")
    assert read(path) == content
    assert list(read(path)) == list(content)
    assert load_yaml(str(path)) == content
