"""Stages train and train_more: fit matchers on the training part, and their twins on features shuffled among items."""

from __future__ import annotations

import sys
from pathlib import Path

from avrec.datasets.dataset import Dataset
from avrec.matching.loading import load_catalog, load_split
from avrec.params import Params
from pipelines.stage import ARTIFACTS, DATA, fresh, run, write_json


def work(params: Params) -> None:
    names = sys.argv[1:]
    for name in names:
        fresh(ARTIFACTS / "models" / name)
    enabled = [name for name in names if getattr(params.matching, name).enabled]
    for name in set(names) - set(enabled):
        write_json(ARTIFACTS / "models" / name / "settings.json", {"name": name, "disabled": True})
        write_json(report_path(name), {"disabled": True, "settings": {}, "epochs": [], "val": {}})
    if enabled:
        train(enabled, params)


def train(names: list[str], params: Params) -> None:
    """Fits and saves some matchers, one after the other."""
    from avrec.matching.training import TwinReport, train_matcher  # not needed where all are switched off

    catalog = load_catalog(Dataset(DATA / "valid"), DATA / "features")
    split = load_split(DATA / "split", catalog)
    for name in names:
        report: TwinReport = train_matcher(name, params.matching, catalog, split, ARTIFACTS / "models" / name)
        write_json(report_path(name), report)


def report_path(name: str) -> Path:
    return ARTIFACTS / "training" / f"{name}.json"


if __name__ == "__main__":
    run(f"train {' '.join(sys.argv[1:])}", work)
