"""Fills the feature store for one shard of the items, all modalities in one pass: `--shard I --of N`, I from 0.

The stages features@MODALITY then find everything there and only collect. Not a DVC stage: its effect is the store.
"""

from __future__ import annotations

import argparse

import pyarrow as pa
import pyarrow.compute as pc

from avrec.datasets.dataset import Dataset
from avrec.features.extract import fill_store
from avrec.features.shards import plan_shards
from avrec.params import Params
from avrec.schema import EXTRACTED
from pipelines.stage import DATA, run


def work(params: Params, shard: int, of: int, retry: bool) -> None:
    valid = Dataset(DATA / "valid")
    items = valid.table("items")
    members = pa.array(plan_shards(valid, of)[shard], pa.string())
    wanted = [modality for modality in EXTRACTED if modality not in valid.meta.given_features]
    wanted += ["speech"] if params.features.speech.enabled else []
    chosen = items.filter(pc.is_in(items["item_id"], members))
    report = fill_store(chosen, valid.meta.media_root, params.features, wanted, retry=retry)
    for modality in wanted:
        known, made, failed = (counts[modality] for counts in (report.known, report.made, report.failed))
        print(f"{modality}: {known} known, {made} extracted, {failed} of them failed", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shard", type=int, required=True)
    parser.add_argument("--of", type=int, required=True)
    parser.add_argument("--retry", action="store_true", help="try again what failed before")
    options = parser.parse_args()
    if not 0 <= options.shard < options.of:
        parser.error(f"--shard {options.shard} is not below --of {options.of}")
    name = f"extract-{options.shard}-of-{options.of}"
    run(name, lambda params: work(params, options.shard, options.of, options.retry))
