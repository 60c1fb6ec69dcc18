"""The facts of a training, up to a registered challenger."""

from __future__ import annotations

from datetime import date
from typing import Any, Literal

from ml.records.record import Record


class RetrainRequest(Record):
    """What asks for a challenger, and why; ``request_id`` tells two forced ones apart."""

    requested_by: str
    reasons: tuple[str, ...]
    days: int | None = None
    last_day: date | None = None
    force: bool = False
    request_id: str = ""


class Window(Record):
    """The labelled days of one training, both ends inclusive, and where its workspace is."""

    first_day: date
    last_day: date
    data_version: str
    fingerprint: str
    workspace: str
    days: int
    rows: int
    seen_before: bool = False


class WindowReport(Record):
    """What the contract said of a training window as a whole."""

    fingerprint: str
    report_uri: str
    rows: int


class Parts(Record):
    """A window cut in time: everything before ``holdout_first_day`` is trained on.

    With ``fit.stream`` a sample of each part stands for it wherever it is not the fit: ``train_sample_rows`` and
    ``holdout_sample_rows`` say of how many rows. They are None where all rows are held in memory.
    """

    fingerprint: str
    train_first_day: date
    train_last_day: date
    holdout_first_day: date
    holdout_last_day: date
    train_rows: int
    holdout_rows: int
    train_sample_rows: int | None = None
    holdout_sample_rows: int | None = None


class Tuned(Record):
    """The arguments that a search has chosen for the estimator, and their mean row loss over its folds.

    With ``enabled`` false nothing was searched and ``args`` are those of ``params.yaml``; ``default_loss`` is
    theirs. A loss is None where nothing was, or could be, scored.
    """

    fingerprint: str
    enabled: bool
    args: dict[str, Any]
    trials: int = 0
    best_loss: float | None = None
    default_loss: float | None = None
    run_id: str | None = None


class Candidate(Record):
    """A fitted pipeline and the MLflow run that holds it; ``model_sha256`` is that of the file as MLflow took it."""

    fingerprint: str
    run_id: str
    fit_seconds: float
    model_sha256: str


class Evaluation(Record):
    """What was measured on the holdout.

    ``champion`` and ``champion_version`` are None where nothing serves; all metrics are over the
    same rows. ``is_refresh`` says that the candidate is the champion's recipe on newer data. ``compared`` says who
    stands for the champion: it itself, the version that was judged in its place, or its recipe fitted again.
    ``anchor_version`` is the last one that won by superiority, None where that is the champion or nothing is a refresh;
    ``anchor_problem`` says why it cannot be compared with, ``champion_problem`` why the champion cannot.
    """

    fingerprint: str
    run_id: str
    holdout_rows: int
    holdout_days: int
    challenger: dict[str, float]
    base_rate: dict[str, float]
    champion: dict[str, float] | None = None
    champion_version: int | None = None
    is_refresh: bool = False
    compared: Literal["model", "twin", "recipe"] = "model"
    anchor_version: int | None = None
    anchor_problem: str | None = None
    champion_problem: str | None = None


class PastRefresh(Record):
    """What a refresh in the past would have gained over the model that it refreshes, on the days right after ``day``.

    Both were fitted on days before ``day``, the older one on so many days fewer as a holdout has. ``difference`` is how
    far apart their predictions were on rows that both have seen, ``moved`` on those that are compared, which neither
    has seen (`ml.core.gate.refit.difference`); None where it could not be measured.
    """

    day: date
    gain: float
    standard_error: float
    difference: float | None
    moved: float | None = None


class RefreshHistory(Record):
    """What refreshes of a recipe gained in its past, and by how many days of data the compared models differ.

    ``judged_days`` is how many days further the challenger's data reach than those of the model that it is compared
    with: below 0 where they end earlier. ``unjudged_days`` is what its refit adds to that, which no holdout can show.
    ``anchor_days`` is the same as ``judged_days``, of the anchor; None where there is none.
    """

    refreshes: tuple[PastRefresh, ...]
    apart_days: int
    judged_days: int
    unjudged_days: int
    anchor_days: int | None = None


class Challenger(Record):
    """A registered model version that contests."""

    fingerprint: str
    run_id: str
    version: int


class PackageCheck(Record):
    """What a fresh process found of the model as it is packaged; ``problem`` is None if all worked.

    ``model_sha256`` is the hash of the model file that was tried; None if there was none.
    """

    identical: bool
    refuses_bad_input: bool
    rows: int
    ms_per_1000_rows: float | None
    megabytes: float | None
    problem: str | None = None
    model_sha256: str | None = None


class Compared(Record):
    """One fact of a training as it is recorded, and as it came out again; None is what is not there."""

    what: str
    recorded: str | None
    reproduced: str | None
    same: bool
    detail: str = ""


class Reproduction(Record):
    """What came of rebuilding a version from its lineage.

    ``environment`` names what differs between the machine that trained it and this one; ``folder`` is
    where the rebuilt files were left, None if they were removed.
    """

    version: int
    fingerprint: str
    code_version: str
    data_version: str
    source: str
    identical: bool
    compared: tuple[Compared, ...]
    environment: tuple[Compared, ...] = ()
    folder: str | None = None
