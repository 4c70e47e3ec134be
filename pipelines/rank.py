"""Stage rank: learns on validation how much each matcher has a say, for known items and for new ones apart."""

from __future__ import annotations

from avrec.datasets.dataset import Dataset
from avrec.matching.loading import load_catalog, load_split
from avrec.matching.training import train_hybrid
from avrec.params import Params
from pipelines.stage import ARTIFACTS, DATA, fresh, run, write_json


def work(params: Params) -> None:
    catalog = load_catalog(Dataset(DATA / "valid"), DATA / "features")
    split = load_split(DATA / "split", catalog)
    models = ARTIFACTS / "models"
    report = train_hybrid(params.matching, catalog, split, models, fresh(models / "hybrid"))
    write_json(ARTIFACTS / "training" / "hybrid.json", report)


if __name__ == "__main__":
    run("rank", work)
