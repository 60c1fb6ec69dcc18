"""Small models of different schemas, each with data, settings and expectations of its own."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

from tests.builders import write_suite

FIRST = date(2024, 1, 1)
DAYS = 24
ROWS = 120
NEXT = FIRST + timedelta(days=DAYS)


@dataclass(frozen=True)
class SmallModel:
    """Model number ``n``: even ones are regressions, odd ones classifications; columns are named after the number."""

    n: int

    @property
    def name(self) -> str:
        return f"model-{self.n}"

    @property
    def key(self) -> list[str]:
        return ["day", f"order_{self.n}"]

    @property
    def is_regression(self) -> bool:
        return self.n % 2 == 0

    @property
    def features(self) -> tuple[str, str]:
        return f"shop_{self.n}", f"weight_{self.n}"

    @property
    def target(self) -> str:
        return f"target_{self.n}"

    def table(self, day: date) -> pd.DataFrame:
        random = np.random.default_rng([self.n, day.toordinal()])
        weight, shop = random.gamma(2.0, 3.0, ROWS), random.choice(["north", "south", "web"], ROWS)
        price = pd.Series(shop).map({"north": 2.0, "south": 5.0, "web": 9.0}).to_numpy()
        amount = 3.0 * weight + price + random.normal(0, 4.0, ROWS)
        target = amount if self.is_regression else (amount > 22.0).astype(int)
        (day_column, order), (shop_column, weight_column) = self.key, self.features
        return pd.DataFrame({
            day_column: day.isoformat(), order: np.arange(ROWS), shop_column: shop, weight_column: weight,
            self.target: target,
        })  # fmt: skip

    def deliver(self, folder: Path) -> None:
        """Write 26 days of inputs and labels, one file each."""
        folder.mkdir(parents=True, exist_ok=True)
        for day in (FIRST + timedelta(days=n) for n in range(DAYS + 2)):
            rows = self.table(day)
            rows.drop(columns=self.target).to_parquet(folder / f"{self.name}-inputs-{day}.parquet")
            rows[[*self.key, self.target]].to_parquet(folder / f"{self.name}-labels-{day}.parquet")

    def params(self, delivered: Path) -> dict[str, Any]:
        shop, weight = self.features
        fit = "sklearn.linear_model.Ridge" if self.is_regression else "sklearn.linear_model.LogisticRegression"
        return {
            "task": {
                "name": self.name, "kind": "regression" if self.is_regression else "classification",
                "target": self.target, "key": self.key, "label_delay_days": 1,
            },
            "source": {
                "kind": "files",
                **{asset: str(delivered / f"{self.name}-{asset}-{{day}}.parquet") for asset in ("inputs", "labels")},
            },
            "pull": {"min_days": 15},
            "split": {"holdout_days": 8},
            "features": {
                "categorical": [shop], "numeric": [weight], "min_category_rows": 10,
                "history": [{"by": [shop], "days": [3]}],
            },
            "fit": {"estimator": fit, "args": {}},
            "gate": {
                "metric": "rmse" if self.is_regression else "log_loss",
                "min_rows": 200,
                "rules": {"base rate": {"kind": "base_rate"}, "package": {"kind": "package"}},
            },
            "drift": {"structural": [shop, weight], "min_rows": 200, "min_distance": 0.2},
        }  # fmt: skip

    def expectations(self, folder: Path) -> None:
        folder.mkdir(parents=True)
        shop, weight = self.features
        suite = partial(write_suite, folder, key=self.key)
        suite("inputs", [*self.key, shop, weight])
        suite("labels", [*self.key, self.target])
        suite("window", [*self.key, shop, weight, self.target])
        count = ("expect_table_row_count_to_equal", {"value": {"$PARAMETER": "expected_rows"}}, "table")
        suite(
            "predictions",
            [*self.key, "prediction", *([] if self.is_regression else ["decision"]), "model_version"],
            count,
        )

    def configure(self, folder: Path, delivered: Path) -> None:
        """Write the folder that makes it a model."""
        self.expectations(folder / "expectations")
        (folder / "params.yaml").write_text(yaml.safe_dump(self.params(delivered), sort_keys=False))
