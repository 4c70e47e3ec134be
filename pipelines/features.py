"""Stage features@MODALITY: fills the feature store with what is missing, then collects the tables of one modality."""

from __future__ import annotations

import sys

from avrec.datasets.dataset import Dataset
from avrec.features.collect import collect
from avrec.features.given import collect_given
from avrec.params import Params
from avrec.validation.features import check_features, raise_if_critical
from pipelines.stage import DATA, fresh, run, write_json


def work(params: Params, modality: str) -> None:
    valid = Dataset(DATA / "valid")
    out = fresh(DATA / "features" / modality)
    items = valid.table("items")
    if modality in valid.meta.given_features:
        given = valid.folder / "given" / f"{modality}.npy"
        counts = collect_given(items["item_id"].to_pylist(), given, modality, out)
    else:
        counts = collect(items, valid.meta.media_root, params.features, modality, out)
    report = check_features(out, modality, params.validation, items)
    write_json(out / "validation.json", counts | report)
    raise_if_critical(modality, report)


if __name__ == "__main__":
    run(f"features@{sys.argv[1]}", lambda params: work(params, sys.argv[1]))
