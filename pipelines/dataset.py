"""Stage `dataset`: the source of params.yaml as the tables of `avrec.schema`."""

from __future__ import annotations

from avrec.datasets.forgetting import forget
from avrec.datasets.registry import source_named
from avrec.params import Params
from avrec.privacy.receipts import Receipts
from pipelines.stage import DATA, fresh, run


def work(params: Params) -> None:
    """Writes `data/dataset` and `data/media`."""
    folder, media = fresh(DATA / "dataset"), fresh(DATA / "media")
    dataset = source_named(params.dataset.source).load(params.dataset, folder, media)
    if params.dataset.erased:
        found = forget(folder, Receipts.of_settings().subjects(params.dataset.erased), media)
        print(f"  left out, because they were erased: {len(found.people)} people, {len(found.items)} items", flush=True)
    for name in ("items", "users", "interactions", "impressions", "comments"):
        if dataset.has(name):
            print(f"  {name}: {dataset.table(name).num_rows} rows", flush=True)


if __name__ == "__main__":
    run("dataset", work)
