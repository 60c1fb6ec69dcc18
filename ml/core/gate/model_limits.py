"""What a model has not seen, and what its card therefore cannot show, in sentences."""

from __future__ import annotations

import pandas as pd

from ml.core.training.features import feature_columns
from ml.settings import Settings

DAYS_OF_A_YEAR = 365


def limits(
    train: pd.DataFrame, holdout: pd.DataFrame, scored: pd.DataFrame, settings: Settings, *, unlabelled: str
) -> tuple[str, ...]:
    """Return in sentences what this model has not seen, and what its card therefore cannot show.

    Parameters
    ----------
    train, holdout : DataFrame of shape (n_rows, n_columns)
        The two parts with ``day``, features and target; not modified.
    unlabelled
        A sentence on the rows whose outcome never came, which only the registry can count.
    """
    days = train["day"].nunique()
    sentences = [
        f"It was fitted on {days} days ({train['day'].min()} to {train['day'].max()}), "
        + (
            f"{days / DAYS_OF_A_YEAR:.0%} of a year: seasons outside of them were never seen."
            if days < DAYS_OF_A_YEAR
            else "and has seen nothing before or after them."
        )
    ]
    sentences += settings.source.caveats()
    sentences += _holdout_limits(train, holdout, settings)
    sentences += _category_limits(train, holdout, settings)
    sentences += [unlabelled, *_environment_limit(settings)]
    if "champion_had_seen" in scored and (seen := scored["champion_had_seen"].astype(bool)).any():
        of_days = scored.loc[seen, "day"].nunique()
        sentences.append(
            f"The champion was trained on {of_days} of the holdout's days: they flatter it in the table of metrics, "
            "and are left out of the gains by slice."
        )
    sentences.append(
        "Features that say the same share their importance: each looks less important than both together. An "
        "importance says what this model uses, not what causes the outcome."
    )
    return tuple(sentences)


def _holdout_limits(train: pd.DataFrame, holdout: pd.DataFrame, settings: Settings) -> list[str]:
    target, classes = settings.task.target, settings.task.classes
    daily = holdout.groupby("day")[target].mean()
    once = f"It was judged on a single time-ordered holdout of {len(daily)} days: "
    if not classes:
        sentence = (
            f"{once}the mean of {target} was {daily.min():.3g} on its lowest day and {daily.max():.3g} on its highest, "
            f"{holdout[target].mean():.3g} over all, against {train[target].mean():.3g} in training. Other days would "
            "give other numbers; the intervals say how different."
        )
        return [sentence]
    shares = [
        f"{(holdout[target] == number).mean():.1%} {label} ({(train[target] == number).mean():.1%} in training)"
        for number, label in enumerate(classes)
    ]
    sentences = [f"{once}its rows were {', '.join(shares)}. Other days would give other numbers."]
    fitted = set(train[target].unique())
    never = [str(label) for number, label in enumerate(classes) if number not in fitted]
    if never:
        sentences.append(
            f"It was fitted on no row of {', '.join(never)} and gives it the probability 0: where it comes, the model "
            "is always wrong."
        )
    return sentences


def _category_limits(train: pd.DataFrame, holdout: pd.DataFrame, settings: Settings) -> list[str]:
    sentences = []
    for name in settings.features.categorical:
        counts = train[name].value_counts(dropna=True)
        rare = int((counts < settings.features.min_category_rows).sum())
        unseen = ~holdout[name].isin(counts.index) & holdout[name].notna()
        onehot = settings.fit.encoding == "onehot"
        code = "share one code with each other" + (" and with categories never seen" if onehot else "")
        least = settings.features.min_category_rows
        sentences.append(
            f"{name}: {rare} of {len(counts)} categories have fewer than {least} training rows and {code}; "
            f"{int(unseen.sum())} holdout rows ({unseen.mean():.2%}) hold one that training had not."
        )
    return sentences


def _environment_limit(settings: Settings) -> list[str]:
    columns = feature_columns(settings.features)
    moving = [name for name in columns if name in settings.drift.environment]
    fixed = [name for name in columns if name in settings.drift.structural]
    if not moving:
        return []
    sentence = (
        f"{len(moving)} of its {len(columns)} features belong to the environment ({', '.join(moving)}) and move with "
        f"the season by themselves; {len(fixed)} are structural, and a move of theirs means that the business or the "
        "data changed."
    )
    return [sentence]
