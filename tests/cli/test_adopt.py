"""``evergreen adopt`` on a real file: the folder that it writes runs, and is never overwritten."""

from __future__ import annotations

import io
import json
from decimal import Decimal
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from ml.adapters.sources.sampling import read_sample
from ml.cli import adopt, adopt_folder
from ml.cli.adopt_reading import Address
from ml.core.adoption.answers import Answers, Question
from ml.errors import DataRejected, SettingsError
from ml.settings import parse, read
from ml.wiring import Environment, Services
from tests.cli.quick_adoption import quick_adoption

__all__ = ["quick_adoption"]
PROJECT = Path(__file__).parents[2]


def sales(path: Path, days: int = 50) -> Path:
    """Write a spreadsheet's export: semicolons, decimal commas, German dates, a mark at the start."""
    chance = np.random.default_rng(5)
    lines = ["\ufeffSold at;Shop;Unit Price;Sold"]
    for day in pd.date_range("2024-01-01", periods=days):
        for number in range(30):
            moment = day + pd.Timedelta(minutes=480 + 20 * number)
            price = float(chance.gamma(3, 2))
            sold = 5 * price + number + chance.normal(0, 2)
            shown = f"{price:.2f};{sold:.2f}".replace(".", ",")
            lines.append(f"{moment:%d.%m.%Y %H:%M};{int(chance.choice([7, 45])):04d};{shown}")
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def adopted(path: Path, *, take: bool = False) -> dict[str, object]:
    return adopt.run(Address(str(path)), Answers(target="Sold"), take=take, ask=False)


def test_a_spreadsheets_export_becomes_a_folder_whose_source_gives_days(tmp_path: Path) -> None:
    facts = adopted(sales(tmp_path / "Sales of shops.csv"))
    folder = tmp_path / "models" / "sales-of-shops"
    assert facts["folder"] == str(folder) and facts["diff"] == ""
    assert {"params.yaml", "dvc.yaml", ".gitignore", "expectations/inputs.json", "data/table.parquet"} <= set(
        facts["written"]  # type: ignore[call-overload]
    )
    content = read(folder / "params.yaml")
    assert isinstance(content["source"]["replay"]["from"], str)  # DVC refuses a file of settings that holds a date
    settings = parse(content)
    assert settings.task.key == ("day", "Sold at")
    services = Services(settings, Environment.load(model="sales-of-shops"))
    inputs = services.source.inputs(settings.source.replay.last_day)  # type: ignore[attr-defined]
    assert len(inputs) == 30 and set(inputs["Shop"]) == {"0007", "0045"} and "Sold" not in inputs
    assert inputs["Unit Price"].dtype == "float64" and "Sold at_minute_of_day" in inputs
    labels = services.source.labels(settings.source.replay.last_day)  # type: ignore[attr-defined]
    assert list(labels) == ["day", "Sold at", "Sold"]


def test_a_copy_of_a_table_whose_time_is_called_day_has_it(tmp_path: Path) -> None:
    path = sales(tmp_path / "sales.csv")
    path.write_text(path.read_text(encoding="utf-8").replace("Sold at;", "day;"), encoding="utf-8")
    adopt.run(Address(str(path)), Answers(target="Sold", number_rows=True), take=False, ask=False)
    settings = parse(read(tmp_path / "models" / "sales" / "params.yaml"))
    services = Services(settings, Environment.load(model="sales"))
    last = settings.source.replay.last_day  # type: ignore[attr-defined]
    assert len(services.source.inputs(last)) == 30 and services.source.labels(last)["Sold"].notna().all()


def test_running_it_again_shows_what_would_change_and_leaves_what_a_person_wrote(tmp_path: Path) -> None:
    path = sales(tmp_path / "sales.csv")
    adopted(path)
    params = tmp_path / "models" / "sales" / "params.yaml"
    mine = params.read_text().replace("max_age_days: 14 ", "max_age_days: 5  ") + "# a word of mine\n"
    params.write_text(mine)
    again = adopted(path)
    assert again["diff"] == "" and params.read_text() == mine

    sales(path, days=120)
    shown = adopted(path)
    assert "-  history_days:" in str(shown["diff"]) and shown["written"] == [] and params.read_text() == mine
    taken = adopted(path, take=True)
    assert taken["diff"] == shown["diff"] and taken["written"]
    after = params.read_text()
    assert "max_age_days: 5" in after and "# a word of mine" in after and after != mine
    assert (
        parse(read(params)).land.history_days
        > parse(read(tmp_path / "models/sales/adopted/params.yaml")).split.holdout_days
    )


def test_a_file_that_nobody_proposed_is_never_touched(tmp_path: Path) -> None:
    folder = tmp_path / "models" / "own"
    (folder / "expectations").mkdir(parents=True)
    (folder / "expectations" / "inputs.json").write_text('{"name": "inputs", "expectations": []}')
    changes = adopt_folder.changes(folder, {"expectations/inputs.json": json.dumps({"name": "other"})})
    assert changes[0].after == '{"name": "inputs", "expectations": []}' and changes[0].diff() == ""


@pytest.mark.parametrize("ending", ["csv", "csv.gz", "jsonl", "parquet"])
def test_any_usual_file_is_read(tmp_path: Path, ending: str) -> None:
    frame, path = pd.DataFrame({"at": ["2024-01-01"], "n": [1]}), tmp_path / f"t.{ending}"
    if ending == "parquet":
        frame.to_parquet(path)
    elif ending == "jsonl":
        frame.to_json(path, orient="records", lines=True)
    else:
        frame.to_csv(path, index=False)
    table = read_sample(str(path), "DATA")
    assert list(table.table) == ["at", "n"] and str(table.table["n"][0]) == "1" and table.changed == ()
    assert table.location is not None and table.location.inputs == str(path)


def test_other_encodings_and_doubled_names_are_read_and_said(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes("Straße;n;n; ;\nMüllerstraße;1;2;3;4\n".encode("cp1252"))
    table = read_sample(str(path), "DATA")
    assert table.table.iloc[0].tolist() == ["Müllerstraße", "1", "2", "3", "4"]
    assert len(set(table.table.columns)) == 5 and len(table.changed) == 3


@pytest.mark.parametrize(
    ("content", "changed"),
    [
        (b"at,n\r2024-01-01,1\r", "carriage returns"),
        (b"sep=;\r\nat;n\r\n2024-01-01;1\r\n", "names the separator"),
        (b"\xef\xbb\xbfsep=,\nat,n\n2024-01-01,1\n", "names the separator"),
        ("at,n\n2024-01-01,1\n".encode("utf-16"), "utf-16"),
    ],
)
def test_other_line_ends_and_a_line_above_the_header_are_read_and_said(
    tmp_path: Path, content: bytes, changed: str
) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(content)
    table = read_sample(str(path), "DATA")
    assert table.table.to_dict("list") == {"at": ["2024-01-01"], "n": ["1"]}
    assert changed in " ".join(table.changed)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("at,n\n1,2\n".encode("utf-16-le"), "UTF-16"),
        (b"", "no header line"),
        (b"at,note\n2024-05-01,fine\n2024-05-02,bro\0ken\n", "line 3 holds a zero byte"),
    ],
)
def test_what_is_no_text_or_nothing_is_named(tmp_path: Path, content: bytes, says: str) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(content)
    with pytest.raises(DataRejected, match=says):
        read_sample(str(path), "DATA")


def test_weekly_data_become_settings_that_count_weeks(tmp_path: Path) -> None:
    chance = np.random.default_rng(1)
    weeks = pd.date_range("2023-01-02", periods=90, freq="7D").repeat(20)
    x = chance.normal(size=len(weeks)).round(3)
    table = pd.DataFrame({"week": weeks.strftime("%Y-%m-%d"), "shop": np.tile(np.arange(20), 90), "x": x})
    table.assign(Sold=(20 + 5 * x).round(2)).to_csv(tmp_path / "weekly.csv", index=False)
    facts = adopted(tmp_path / "weekly.csv")
    settings = parse(read(tmp_path / "models" / "weekly" / "params.yaml"))
    assert settings.land.every_days == 7 and settings.screen.recent_days == 56
    assert settings.labels.recent_days >= 7 * settings.labels.min_recent_days
    assert settings.drift.window_days == 7  # days with rows: these hold 140 rows
    assert "rows come every 7 days (land.every_days)" in str(facts["summary"])


def test_columns_called_like_ours_become_settings_that_count(tmp_path: Path) -> None:
    ours = ["label", "decision", "model_version", "request", "weight", "key_known", "select", "__x", "X"]
    table = pd.read_csv(sales(tmp_path / "sales.csv"), sep=";", decimal=",")
    table["x"] = np.random.default_rng(2).normal(size=len(table)).round(3)
    for number, name in enumerate(ours):
        table[name] = np.random.default_rng(number).normal(size=len(table)).round(3)
    table["Sold at"] = pd.to_datetime(table["Sold at"], format="%d.%m.%Y %H:%M").astype(str)
    table.to_csv(tmp_path / "ours.csv", index=False)
    summary = str(adopted(tmp_path / "ours.csv")["summary"])
    assert "key_known becomes key_known_2: such names are Evergreen's own" in summary
    assert "X becomes X_2" in summary or "x becomes x_2" in summary
    params = tmp_path / "models" / "ours" / "params.yaml"
    settings = parse(read(params))
    assert {"label", "decision", "model_version", "weight"} <= {*settings.features.numeric, *settings.features.spline}
    assert "label" not in (*settings.drift.structural, *settings.drift.environment)
    assert "label cannot be watched under that name" in " ".join(params.read_text().replace("#", " ").split())


@pytest.mark.parametrize("mark", [",", ";", "\t", "|"])
def test_marks_that_are_not_closed_swallow_no_row_whatever_separates_the_fields(tmp_path: Path, mark: str) -> None:
    lines = [mark.join(["2024-01-01", str(number), "fine"]) for number in range(40)]
    for number in (10, 30):
        lines[number] = lines[number].replace("fine", '"call back')
    path = tmp_path / "t.csv"
    path.write_text("\n".join([mark.join(["at", "n", "note"]), *lines]) + "\n")
    with pytest.raises(DataRejected, match="line 12, column 'note'.*swallows rows"):
        read_sample(str(path), "DATA")
    path.write_text(path.read_text().replace('"call back', f'"call{mark} ""back"""'))
    assert len(read_sample(str(path), "DATA").table) == 40


def test_decimals_of_whole_numbers_keep_each_digit_and_rows_that_are_not_read_are_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    large = 9_007_199_254_740_993
    numbers = [Decimal(large), Decimal(large + 1), Decimal(large + 2)]
    frame = pd.DataFrame({"id": pd.array(numbers, dtype=pd.ArrowDtype(pa.decimal128(38, 0))), "n": [1, 2, 3]})
    frame.to_parquet(tmp_path / "t.parquet")
    assert read_sample(str(tmp_path / "t.parquet"), "DATA").table["id"].tolist() == [large, large + 1, large + 2]
    monkeypatch.setattr("ml.adapters.sources.sampling.MAX_ROWS", 2)
    cut = read_sample(str(tmp_path / "t.parquet"), "DATA")
    assert len(cut.table) == 2 and "a copy" in cut.notes[0]


def test_a_header_over_two_lines_is_read_and_said(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(b'at,"price\n(net)",n\n2024-01-01,2,"a\nb"\n')
    table = read_sample(str(path), "DATA")
    assert table.table.to_dict("list") == {"at": ["2024-01-01"], "price (net)": ["2"], "n": ["a\nb"]}
    assert "line ends in them" in " ".join(table.changed)


def test_what_is_missing_is_said_before_anything_is_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert adopt.main([str(tmp_path / "none.csv"), "--target", "y"]) == SettingsError.exit_code
    assert "there is no" in capsys.readouterr().err
    assert adopt.main([str(tmp_path)]) == SettingsError.exit_code
    assert "--target is missing" in capsys.readouterr().err
    assert adopt.main(["--check", "rentalz"]) == SettingsError.exit_code
    assert "there is neither a model nor data called rentalz" in capsys.readouterr().err


def test_what_a_person_says_at_the_terminal_counts_and_nothing_is_asked_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    questions = [
        Question("label_delay_days", "After how many days?", "1", "--label-delay-days"),
        Question("timezone", "In which time zone?", "UTC", "--timezone"),
        Question("known", "Which are known?", "none", "--known"),
    ]
    monkeypatch.setattr("sys.stdin", io.StringIO("3\n\na, b\n"))
    answers = adopt.ask_person(questions, Answers(target="y"))
    assert (answers.label_delay_days, answers.timezone, answers.known) == (3, "UTC", ("a", "b"))
    monkeypatch.setattr("sys.stdin", io.StringIO("soon\n"))
    with pytest.raises(SettingsError, match="'soon' is not a number of days"):
        adopt.ask_person(questions, Answers(target="y"))


def test_a_model_at_the_top_is_not_written_over(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SettingsError, match="--name"):
        adopt.place_of("flight-delay")


def test_a_folder_that_a_person_made_is_not_taken_over(tmp_path: Path) -> None:
    (tmp_path / "models" / "own").mkdir(parents=True)
    with pytest.raises(SettingsError, match="--name"):
        adopt.place_of("own")


def test_a_carriage_return_outside_of_quotation_marks_is_named_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "posts.csv"
    path.write_bytes(b"at,text,n\n2024-01-01,fine,1\n2024-01-02,half a line\rand a half,2\n")
    with pytest.raises(DataRejected, match=r"line 3 holds a carriage return.* quote the field"):
        read_sample(str(path), "DATA")
