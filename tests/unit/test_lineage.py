"""Two trainings have one fingerprint exactly if everything that determines the model is the same."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from ml.adapters import code
from ml.core.training.lineage import (
    DETERMINING_SECTIONS,
    check_hashes,
    compare_metrics,
    compare_values,
    differences,
    fingerprint,
    pinned_settings,
    same_recipe,
    thread_variables,
)
from ml.errors import UntrustedModel
from ml.records import DayFile
from ml.settings import Settings
from tests.builders import params, settings

FILES = [
    DayFile(asset=asset, day=date(2013, 1, number), md5=f"{asset}{number}", bytes=10)
    for asset in ("inputs", "labels")
    for number in (1, 2, 3)
]


FIRST_DAY = date(2013, 1, 1)


def printed(
    files: list[DayFile] = FILES,
    *,
    first_day: date = FIRST_DAY,
    code_sha256: str = "code",
    lock_sha256: str = "lock",
    own_code: dict[str, str] | None = None,
    **sections: Any,
) -> str:
    return fingerprint(
        files,
        settings(**sections),
        first_day=first_day,
        code_sha256=code_sha256,
        lock_sha256=lock_sha256,
        own_code=own_code,
    )


SAME = printed()
CHANGED = [FILES[0].model_copy(update={"md5": "other"}), *FILES[1:]]


def test_it_is_a_sha256_and_the_same_every_time() -> None:
    assert printed() == SAME
    assert len(SAME) == 64
    assert set(SAME) <= set("0123456789abcdef")


@pytest.mark.parametrize(
    "change",
    [
        {"files": CHANGED},
        {"files": FILES[1:]},
        {"files": [*FILES, DayFile(asset="inputs", day=date(2013, 1, 4), md5="x", bytes=1)]},
        {"files": [file.model_copy(update={"day": date(2013, 2, file.day.day)}) for file in FILES]},
        {"files": [file.model_copy(update={"asset": "inputs"}) for file in FILES]},
        {"code_sha256": "other"},
        {"lock_sha256": "other"},
        {"task": {"label_delay_days": 2}},
        {"task": {"target": "very_late"}},
        {"split": {"holdout_days": 10}},
        {"features": {"numeric": ["number", "distance"]}},
        {"features": {"numeric": [], "spline": ["number"]}},
        {"features": {"history": [{"days": [1]}]}},
        {"features": {"history": [{"days": [1], "prior_rows": 3}]}},
        {"features": {"min_category_rows": 7}},
        {"fit": {"estimator": "sklearn.svm.SVC"}},
        {"fit": {"args": {"C": 0.1}}},
        {"fit": {"encoding": "ordinal"}},
        {"fit": {"seed": 1}},
        {"features": {"python": {"function": "acme:spend", "numeric": ["spend"]}}},
        {"own_code": {"acme": "0" * 64}},
        {"fit": {"sample_weight": {"half_life_days": 30}}},
    ],
    ids=str,
)
def test_whatever_determines_the_model_changes_it(change: dict[str, Any]) -> None:
    assert printed(**change) != SAME


def test_swapped_contents_of_two_days_change_it() -> None:
    swapped = [
        FILES[0].model_copy(update={"md5": FILES[1].md5}),
        FILES[1].model_copy(update={"md5": FILES[0].md5}),
        *FILES[2:],
    ]
    assert printed(swapped) != SAME


@pytest.mark.parametrize(
    "change",
    [
        {"gate": {"min_days": 5, "confidence": 0.9}},
        {"retrain": {"on_drift": False, "max_age_days": None}},
        {"notify": {"to": ["someone@else.example"]}},
        {"drift": {"window_days": 3, "structural": ["number"]}},
        {"screen": {"recent_days": 14}},
        {"score": {"batch_rows": 1}},
        {"land": {"due_hour": 0}},
        {"source": {"kind": "demo", "replay": False}},
        {"pull": {"days": 50}},
        {"pull": {"last_day": "2013-01-03", "data_version": "abc"}},
        {"files": FILES[::-1]},
        {"files": [file.model_copy(update={"bytes": 99}) for file in FILES]},
    ],
    ids=str,
)
def test_what_does_not_determine_the_model_leaves_it(change: dict[str, Any]) -> None:
    assert printed(**change) == SAME


@pytest.mark.parametrize(
    ("change", "same"),
    [
        ({}, True),
        ({"split": {"holdout_days": 21}}, True),
        ({"gate": {"min_days": 5}}, True),
        ({"pull": {"days": 50}}, True),
        ({"fit": {"args": {"C": 0.1}}}, False),
        ({"fit": {"estimator": "sklearn.svm.SVC"}}, False),
        ({"features": {"min_category_rows": 7}}, False),
        ({"task": {"label_delay_days": 2}}, False),
    ],
    ids=str,
)
def test_a_recipe_is_what_is_fitted_and_not_on_what_nor_how_it_is_judged(change: dict[str, Any], same: bool) -> None:
    assert same_recipe(settings(), settings(**change)) is same


def test_among_how_many_workers_a_fit_is_divided_is_another_training_and_the_same_recipe() -> None:
    one, four, passes = (settings(fit={"stream": stream}) for stream in ({}, {"workers": 4}, {"passes": 2}))
    assert same_recipe(one, four) and not same_recipe(one, passes) and not same_recipe(one, settings())
    assert printed(fit={"stream": {"workers": 4}}) != printed(fit={"stream": {}})


def test_what_is_written_out_is_what_is_meant_by_default() -> None:
    written = Settings.model_validate(settings().model_dump(mode="json"))
    assert fingerprint(FILES, written, first_day=FIRST_DAY, code_sha256="code", lock_sha256="lock") == SAME


def test_files_may_come_from_a_generator() -> None:
    found = fingerprint(
        (file for file in FILES), settings(), first_day=FIRST_DAY, code_sha256="code", lock_sha256="lock"
    )
    assert found == SAME


def test_the_determining_sections_are_sections() -> None:
    assert set(DETERMINING_SECTIONS) <= set(Settings.model_fields)
    assert {"task", "features", "fit"} <= set(params())


def test_training_from_another_day_on_is_another_training_of_the_same_files() -> None:
    assert printed(first_day=date(2013, 1, 2)) != SAME


def lineage(**pull: Any) -> dict[str, Any]:
    window = {"first_day": "2013-01-03", "last_day": "2013-02-01"}
    return {"window": window, "data_version": "abc", "settings": {"pull": {"min_days": 21, **pull}, "fit": {"C": 1}}}


@pytest.mark.parametrize(
    ("given", "last_day", "days"),
    [
        ({}, "2013-02-01", 30),
        ({"last_day": None, "days": None, "data_version": None}, "2013-02-01", 30),
        ({"last_day": "2013-02-03", "days": 32}, "2013-02-03", 32),  # two days of it were never labelled
    ],
)
def test_settings_are_pinned_to_the_window_that_they_chose(given: dict[str, Any], last_day: str, days: int) -> None:
    recorded = lineage(**given)
    found = pinned_settings(recorded)
    assert found["pull"] == {"min_days": 21, "data_version": "abc", "last_day": last_day, "days": days}
    assert found["fit"] == {"C": 1}
    assert recorded == lineage(**given)


def test_predictions_are_the_same_to_the_last_bit_or_not_at_all() -> None:
    values = [0.1, 0.2, 0.3]
    assert compare_values("p", values, list(values)).same
    near = compare_values("p", values, [0.1, 0.2, 0.3 + 1e-16])
    assert (near.same, near.detail) == (False, "1 of 3 differ, by at most 1.11e-16")
    assert not compare_values("p", [0.0], [-0.0]).same
    assert compare_values("p", values, values[:2]).detail == "another number of rows"
    for absent in ((None, values), (values, None), (None, None)):
        assert not compare_values("p", *absent).same


def test_every_metric_that_came_out_must_have_been_recorded() -> None:
    found = {one.what: one.same for one in compare_metrics({"a": 0.1, "b": 0.2, "z": 1}, {"a": 0.1, "b": 0.3, "c": 1})}
    assert found == {"a": True, "b": False, "c": False}


def test_only_what_differs_between_machines_is_named() -> None:
    here = {"python": "3.11.7", "packages": {"numpy": "2.3", "scipy": "1.17"}, "libraries": ["a", "b"], "cpus": 2}
    there = {"python": "3.11.7", "packages": {"numpy": "2.2", "scipy": "1.17"}, "libraries": ["a"], "cpus": 2}
    found = [(one.what, one.recorded, one.reproduced) for one in differences(here, there)]
    assert found == [("libraries", "a; b", "a"), ("packages.numpy", "2.3", "2.2")]
    assert differences(here, here) == []


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("GIT_CONFIG_COUNT", "1"), ("GIT_SSH_COMMAND", "sh"), ("LD_PRELOAD", "/tmp/x.so"), ("PYTHONPATH", "/tmp"),
        ("PATH", "/tmp"), ("omp_num_threads", "2"), ("OMP_NUM_THREADS", "2; sh"), ("OMP_NUM_THREADS", "0"),
        ("OMP_NUM_THREADS", "2\n"), ("OMP_NUM_THREADS", ""), ("OMP_NUM_THREADS", None),
    ],
)  # fmt: skip
def test_only_numbers_of_threads_are_set_and_others_are_reported(name: str, value: object) -> None:
    allowed, refused = thread_variables({name: value, "MKL_NUM_THREADS": "4"}, code.THREADS)
    assert allowed == {"MKL_NUM_THREADS": "4"}
    assert [(one.what, one.same) for one in refused] == [(f"variable {name}", False)]
    assert "refused" in refused[0].detail


def test_numbers_of_threads_may_be_lists() -> None:
    assert thread_variables({"OMP_NUM_THREADS": "4,2"}, code.THREADS) == ({"OMP_NUM_THREADS": "4,2"}, [])


@pytest.mark.parametrize("bad", ["HEAD", "--output=x", "a" * 39, "A" * 40, "a" * 40 + "\n", "", None, 7])
def test_what_is_not_a_whole_hash_reaches_no_command_line(bad: object) -> None:
    good = {"data_version": "a" * 40, "code_sha256": "b" * 64, "lock_sha256": ""}
    check_hashes(good)
    for name in ("data_version", "code_sha256"):
        with pytest.raises(UntrustedModel, match=f"as {name}, which is not a whole hash"):
            check_hashes({**good, name: bad})
