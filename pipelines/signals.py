"""Stage signals: tags, sounds, transcript, description, sentiment and look of every item, in one table."""

from __future__ import annotations

import pyarrow.parquet as pq

from avrec.datasets.dataset import Dataset
from avrec.features.collect import collect
from avrec.features.signals import item_signals, write_signals
from avrec.params import Params
from avrec.schema import SEMANTIC
from avrec.search.build import build_index
from avrec.search.sources import Source
from pipelines.stage import DATA, fresh, run


def work(params: Params) -> None:
    """Writes `data/signals`: `signals.parquet`, `search`, and `speech` where speech is transcribed."""
    valid, out = Dataset(DATA / "valid"), fresh(DATA / "signals")
    items = valid.table("items")
    if params.features.speech.enabled:
        collect(items, valid.meta.media_root, params.features, "speech", out / "speech")
    opinions = pq.read_table(DATA / "split" / "opinions.parquet")
    folders = {"visual": DATA / "features/visual", "audio": DATA / "features/audio", "speech": out / "speech",
               SEMANTIC: DATA / "features" / SEMANTIC}  # fmt: skip
    signals = item_signals(items, folders, params.features, opinions)
    write_signals(out, signals)
    build_index(Source(items, signals, folders, params.features)).save(out / "search")


if __name__ == "__main__":
    run("signals", work)
