"""Three made data sets with seasons, growth, and the relations between columns that real tables have."""

from __future__ import annotations

import numpy as np
import pandas as pd

from ml.settings import Task

BIKES = Task(name="bikes", kind="regression", target="rented", key=("day", "hour"), label_delay_days=1)
PRICES = Task(name="prices", kind="classification", target="up", key=("day", "period"), label_delay_days=1)
CHURN = Task(name="churn", kind="classification", target="left", key=("day", "customer"), label_delay_days=30)


def bikes(days: int = 730, seed: int = 1) -> pd.DataFrame:
    """Return hourly weather and calendar of a bike rental: 24 rows a day, with the seasons of two years."""
    chance = np.random.default_rng(seed)
    dates = np.repeat(pd.date_range("2011-01-01", periods=days).to_numpy(), 24)
    stamps, hours = pd.DatetimeIndex(dates), np.tile(np.arange(24), days)
    weather = np.repeat(_autocorrelated(chance, days, 0.7), 24)
    season = np.sin(2 * np.pi * (stamps.dayofyear.to_numpy() - 105) / 365.25)
    celsius = (
        12 + 12 * season + 4 * weather + 4 * np.sin(2 * np.pi * (hours - 9) / 24) + chance.normal(0, 0.7, len(hours))
    )
    humidity = np.clip(
        65 - 12 * np.repeat(_autocorrelated(chance, days, 0.6), 24) - 8 * np.sin(2 * np.pi * (hours - 9) / 24), 8, 100
    )
    wind = np.clip(np.round(chance.gamma(2.2, 5.5, len(hours)) / 1.852) * 1.852, 0, 67)
    sky = np.select([humidity > 85, humidity > 70], ["rain", "mist"], "clear")
    holiday = (stamps.dayofyear.to_numpy() % 37 == 1).astype(int)
    weekday = stamps.dayofweek.to_numpy()
    names = np.array(["winter", "spring", "summer", "autumn"])
    felt = celsius + np.where(celsius > 20, 0.15 * humidity / 10, -0.05 * wind) - 0.5
    return pd.DataFrame(
        {
            "day": stamps.strftime("%Y-%m-%d"),
            "hour": hours,
            "season": names[(stamps.month.to_numpy() % 12) // 3],
            "month": stamps.month.to_numpy(),
            "weekday": weekday,
            "holiday": holiday,
            "working_day": ((weekday < 5) & (holiday == 0)).astype(int),
            "sky": sky,
            "temp": np.round((celsius + 8) / 0.82) * 0.02,
            "felt_temp": np.round((felt + 16) / 66, 4),
            "humidity": np.round(humidity / 100, 2),
            "wind_speed": np.round(wind / 67, 4),
        }
    )


def prices(days: int = 900, seed: int = 2) -> pd.DataFrame:
    """Return half-hourly prices and demands of two electricity markets and the transfer between them."""
    chance = np.random.default_rng(seed)
    stamps = pd.DatetimeIndex(np.repeat(pd.date_range("1996-05-07", periods=days).to_numpy(), 48))
    period = np.tile(np.arange(48), days)
    daily = 0.5 + 0.25 * np.sin(2 * np.pi * (period - 16) / 48) + 0.1 * np.sin(4 * np.pi * period / 48)
    season = 0.06 * np.cos(2 * np.pi * (stamps.dayofyear.to_numpy() - 195) / 365.25)
    load = np.repeat(0.04 * _autocorrelated(chance, days, 0.6), 48) - 0.05 * (stamps.dayofweek.to_numpy() >= 5)
    demand = np.clip(0.85 * daily + season + load + chance.normal(0, 0.015, len(period)), 0.02, 1)
    other = np.clip(0.7 * daily + 0.05 + 0.8 * season + load + chance.normal(0, 0.02, len(period)), 0.02, 1)
    price = np.exp(-3.2 + 2.2 * (demand - 0.5) + 0.25 * np.repeat(_autocorrelated(chance, days, 0.8), 48))
    price *= np.exp(0.15 * chance.standard_t(4, len(period)))
    return pd.DataFrame(
        {
            "day": stamps.strftime("%Y-%m-%d"),
            "period": period,
            "weekday": stamps.dayofweek.to_numpy() + 1,
            "price": np.round(np.clip(price, 0, 1), 6),
            "demand": np.round(demand, 6),
            "other_price": np.round(0.06 * price + 0.0005 * np.abs(chance.normal(0, 1, len(period))), 6),
            "other_demand": np.round(other, 6),
            "transfer": np.round(np.clip(0.5 + 0.8 * (other - demand) + chance.normal(0, 0.05, len(period)), 0, 1), 6),
        }
    )


def churn(days: int = 400, rows: int = 220, seed: int = 3) -> pd.DataFrame:
    """Return the customers whose contract is looked at on a day, with what they have bought and what they pay."""
    chance = np.random.default_rng(seed)
    number = days * rows
    day = np.repeat(pd.date_range("2022-01-01", periods=days).strftime("%Y-%m-%d").to_numpy(), rows)
    growth = np.repeat(np.linspace(0, 1, days), rows)
    contract = chance.choice(["Month-to-month", "One year", "Two year"], number, p=[0.55, 0.21, 0.24])
    tenure = np.clip(np.round(chance.gamma(np.where(contract == "Month-to-month", 1.1, 3.5), 14, number)), 1, 72)
    internet = np.where(
        chance.random(number) < 0.22, "No", np.where(chance.random(number) < 0.56, "Fiber optic", "DSL")
    )
    phone = np.where((chance.random(number) < 0.1) & (internet == "DSL"), "No", "Yes")
    lines = np.where(phone == "No", "No phone service", np.where(chance.random(number) < 0.45, "Yes", "No"))
    security, films = (
        np.where(internet == "No", "No internet service", np.where(chance.random(number) < share, "Yes", "No"))
        for share in (0.36, 0.5)
    )
    partner = np.where(chance.random(number) < 0.48, "Yes", "No")
    dependents = np.where(chance.random(number) < np.where(partner == "Yes", 0.52, 0.09), "Yes", "No")
    monthly = (
        20
        + 25 * (internet == "DSL")
        + 50 * (internet == "Fiber optic")
        + 5 * (lines == "Yes")
        + 5 * (security == "Yes")
    )
    monthly = np.round((monthly + 10 * (films == "Yes") + chance.normal(0, 1.2, number) + 2 * growth) * 20) / 20
    region = np.clip(chance.zipf(1.4, number), 1, 60)
    fee, discount = (
        np.round(0.1 * monthly, 2),
        np.round(chance.choice([0, 1.5, 3, 5], number, p=[0.5, 0.2, 0.2, 0.1]), 2),
    )
    return pd.DataFrame(
        {
            "day": day,
            "customer": [
                f"{n:04d}-{''.join(letters)}"
                for n, letters in zip(
                    chance.integers(0, 9999, number),
                    chance.choice(list("ABCDEFGHIJKLMNOPQRSTUVWXYZ"), (number, 5)),
                    strict=True,
                )
            ],
            "region": [f"R{n:02d}" for n in region],
            "city": [f"{'North' if n % 2 else 'South'} town {n}" for n in region],
            "partner": partner,
            "dependents": dependents,
            "tenure": tenure.astype(int),
            "phone": phone,
            "lines": lines,
            "internet": internet,
            "security": security,
            "films": films,
            "contract": contract,
            "payment": chance.choice(["Bank transfer", "Credit card", "Electronic check", "Mailed check"], number),
            "monthly_charge": monthly,
            "fee": fee,
            "discount": discount,
            "bill": np.round(monthly + fee - discount, 2),
            "total_charge": np.round(monthly * tenure * chance.uniform(0.93, 1.07, number), 2),
        }
    ).drop_duplicates(["day", "customer"], ignore_index=True)


def _autocorrelated(chance: np.random.Generator, number: int, correlation: float) -> np.ndarray:
    """Return a series of mean 0 and standard deviation 1 of which neighbours are correlated."""
    series, shocks = np.zeros(number), chance.normal(0, np.sqrt(1 - correlation**2), number)
    for position in range(1, number):
        series[position] = correlation * series[position - 1] + shocks[position]
    return series
