"""Measure how often and how soon each fault is found: of inputs by drift, of labels by what looks at outcomes.

`bench.detection_inputs` says what is found of inputs, and what it costs; `bench.detection_labels` what of labels.

    python -m bench.detection [--of inputs labels] [--starts 9] [--every 28] [--data flights] [--wheels WHEELS] [--json]
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import pandas as pd

from bench import detection_inputs, detection_labels
from bench.detection_inputs import FEED, Outcome
from bench.false_alarms import PARAMS
from bench.made_histories import HISTORIES
from bench.real_histories import histories
from ml import settings as settings_module


def table(found: Sequence[Outcome]) -> str:
    """Lay out each fault over its starting days."""
    lines = []
    for fault, group in pd.DataFrame([asdict(one) for one in found]).groupby("fault", sort=False):
        lines.append(
            {
                "fault": str(fault).replace(FEED, "weather feed"),
                "starts": len(group),
                "alarm %": 100 * group["alarm_day"].notna().mean(),
                "days": group["alarm_day"].median(),
                "reported %": 100 * group["reported_day"].notna().mean(),
                "days ": group["reported_day"].median(),
                "damage": group["damage"].mean(),
                "worst": group["damage"].max(),
                "defaults: any structural, % of days": 100 * group["any_structural"].mean(),
                "share >= 0.5, % of days": 100 * group["share_of_columns"].mean(),
            }
        )
    whole = dict.fromkeys(
        ["alarm %", "reported %", "defaults: any structural, % of days", "share >= 0.5, % of days"], 0
    )
    return str(pd.DataFrame(lines).round({**whole, "damage": 4, "worst": 4}).to_string(index=False))


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--of", nargs="+", choices=["inputs", "labels"], default=["inputs", "labels"])
    parser.add_argument("--starts", type=int, default=9, help="starting days of each fault")
    parser.add_argument("--every", type=int, default=28, help="days from one start to the next, of inputs")
    parser.add_argument("--data", nargs="+", default=["flights"], help="histories whose labels are falsified")
    parser.add_argument("--wheels", type=Path, help="a folder with the packages of bench.real_histories")
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args(argv)
    known = {**HISTORIES, **(histories(asked.wheels) if asked.wheels else {})}
    unknown = set(asked.data) - set(known)
    if unknown:
        raise SystemExit(f"no such data: {', '.join(sorted(unknown))}; known are {', '.join(known)}")
    inputs: list[Outcome] = []
    labels: list[detection_labels.Detection] = []
    if "inputs" in asked.of:
        scenes = detection_inputs.scenes(settings_module.load(PARAMS), starts=asked.starts, every=asked.every)
        inputs = [one for scene in scenes for one in detection_inputs.outcomes(scene)]
    if "labels" in asked.of:
        for name in asked.data:
            labels += detection_labels.trials(detection_labels.scene(known[name]), starts=asked.starts)
    if asked.json:
        print(json.dumps({"inputs": [asdict(one) for one in inputs], "labels": [asdict(one) for one in labels]}))
        return 0
    if inputs:
        days = detection_inputs.WATCHED_DAYS
        print(f"Within {days} days; days: median until found, 1 is the fault's first day; damage in log loss")
        print(table(inputs))
    if labels:
        print("Labels: how many starts were detected within a fortnight, and the median labelled day, by which finding")
        print(detection_labels.table(labels))
    return 0


if __name__ == "__main__":
    sys.exit(main())
