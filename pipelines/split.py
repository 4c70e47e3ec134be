"""Stage `split`: train, validation and test, the slices that reports speak of, and what people wrote."""

from __future__ import annotations

from datetime import datetime

import pyarrow.parquet as pq

from avrec.datasets.dataset import Dataset
from avrec.datasets.split import split_interactions, write_part
from avrec.features.opinions import apply_opinions, judge_comments
from avrec.params import Params
from pipelines.stage import ARTIFACTS, DATA, fresh, run, write_json


def work(params: Params) -> None:
    """Writes `data/split` and `artifacts/split.json`."""
    valid = Dataset(DATA / "valid")
    result = split_interactions(valid.table("interactions"), params.split, valid.meta.has_time)
    folder = fresh(DATA / "split")
    opinions = judge_comments(valid.table("comments"))
    pq.write_table(opinions, folder / "opinions.parquet", store_schema=False)
    val = result.boundaries["val"]
    known_until = datetime.fromisoformat(val) if val else None
    # What is judged stays as it happened; only what is learned from is read together with the comments.
    parts = result.parts | {
        "train": apply_opinions(result.parts["train"], opinions, params.split.opinions, known_until)
    }
    for name, table in parts.items():
        write_part(folder, name, table)
        print(f"  {name}: {table.num_rows} interactions", flush=True)
    write_json(folder / "slices.json", result.slices)
    write_json(ARTIFACTS / "split.json", result.metrics())


if __name__ == "__main__":
    run("split", work)
