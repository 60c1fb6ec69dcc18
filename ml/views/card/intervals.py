"""Lay out the prediction intervals of a model card: how wide they are, from which errors, and what that promises."""

from __future__ import annotations

from ml.core.training.intervals import Calibrated
from ml.views.card.render import Facts, Prose, Section
from ml.views.card.sections import number

GUARANTEES = {
    "rows": "Each row of the holdout counts alike: the coverage is promised on average over many days if rows are "
    "exchangeable, and days that share their luck have more or less of it, as the days of the holdout had.",
    "days": "Each day of the holdout counts alike: the coverage is promised for a row of a new day if days are "
    "exchangeable, whatever the rows of a day share.",
}


def section(calibrated: Calibrated) -> Section:
    """Say how wide the intervals are, and how their coverage varied by day on the holdout."""
    width, low, high = calibrated.width, calibrated.lowest_day, calibrated.highest_day
    facts = (
        ("declared coverage", f"{width.coverage:.4%}".replace(".0000", "")),
        ("interval", f"prediction ± {number(width.half_width)}"),
        ("calibrated on", f"{width.rows:,} rows of {width.days} days ({width.first_day} to {width.last_day})"),
        ("coverage of a day there", f"{low:.1%} to {high:.1%}"),
    )
    method = (
        "Split conformal prediction by absolute errors on days that the judged model was not fitted on (Lei et al. "
        f"2018, doi:10.1080/01621459.2017.1307116). {GUARANTEES[width.unit]} The gate chose by the same days, which "
        "flatters the intervals a little. All of them are equally wide: where the model errs more, less is covered. "
        "What is live is measured every day."
    )
    return Section("Prediction intervals", (Facts(facts), Prose(method)))
