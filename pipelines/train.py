"""Stage train: fits one matcher on the training part, and its twin on features shuffled among items."""

from __future__ import annotations

import sys
from pathlib import Path

from avrec.datasets.dataset import Dataset
from avrec.matching.loading import load_catalog, load_split
from avrec.matching.training import TwinReport, train_matcher
from avrec.params import Params
from pipelines.stage import ARTIFACTS, DATA, fresh, run, write_json


def work(params: Params) -> None:
    name = sys.argv[1]
    folder = fresh(ARTIFACTS / "models" / name)
    if not getattr(params.matching, name).enabled:
        write_json(folder / "settings.json", {"name": name, "disabled": True})
        write_json(report_path(name), {"disabled": True, "settings": {}, "epochs": [], "val": {}})
        return
    catalog = load_catalog(Dataset(DATA / "valid"), DATA / "features")
    split = load_split(DATA / "split", catalog)
    report: TwinReport = train_matcher(name, params.matching, catalog, split, folder)
    write_json(report_path(name), report)


def report_path(name: str) -> Path:
    return ARTIFACTS / "training" / f"{name}.json"


if __name__ == "__main__":
    run(f"train@{sys.argv[1]}" if len(sys.argv) > 1 else "train", work)
