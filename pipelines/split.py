"""Stage `split`: train, validation and test, and the slices that reports speak of."""

from __future__ import annotations

from avrec.datasets.dataset import Dataset
from avrec.datasets.split import split_interactions, write_part
from avrec.params import Params
from pipelines.stage import ARTIFACTS, DATA, fresh, run, write_json


def work(params: Params) -> None:
    """Writes `data/split` and `artifacts/split.json`."""
    valid = Dataset(DATA / "valid")
    result = split_interactions(valid.table("interactions"), params.split, valid.meta.has_time)
    folder = fresh(DATA / "split")
    for name, table in result.parts.items():
        write_part(folder, name, table)
        print(f"  {name}: {table.num_rows} interactions", flush=True)
    write_json(folder / "slices.json", result.slices)
    write_json(ARTIFACTS / "split.json", result.metrics())


if __name__ == "__main__":
    run("split", work)
