"""Stage refit: fits everything on all data with the settings that were evaluated, and packs what is deployed."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import numpy as np
import pyarrow.parquet as pq

from avrec.datasets.dataset import Dataset
from avrec.features.opinions import apply_opinions
from avrec.features.semantic_folder import ENCODER
from avrec.matching.data import Histories, Interactions
from avrec.matching.loading import load_catalog, load_interactions
from avrec.matching.registry import MATCHERS
from avrec.matching.training import refit, saved_ranker
from avrec.params import Params
from avrec.recommend.bundle import write_bundle
from avrec.recommend.catalogs import unsafe_of
from avrec.recommend.segments import segments_of
from avrec.schema import SEMANTIC
from pipelines.stage import ARTIFACTS, DATA, fresh, run

LISTS = ("diversity", "spread", "max_per_category", "max_unsafe", "media_types")
"""What the served model keeps of section `recommend`: the rules that its lists obey where nobody asks otherwise."""


def work(params: Params) -> None:
    valid = Dataset(DATA / "valid")
    catalog = load_catalog(valid, DATA / "features")
    opinions = pq.read_table(DATA / "split" / "opinions.parquet")
    read = apply_opinions(valid.table("interactions"), opinions, params.split.opinions)
    interactions = load_interactions(read, catalog)
    ranker = saved_ranker(ARTIFACTS / "models" / "hybrid")
    matchers = refit(params.matching, catalog, interactions, training_reports(), ranker)
    said = params.recommend.model_dump(mode="json")
    everyone = np.arange(interactions.n_users, dtype=np.int32)
    write_bundle(
        fresh(ARTIFACTS / "bundle"),
        items=valid.table("items"),
        features=catalog.features,
        matchers=matchers,
        serve="hybrid",
        histories=Histories.from_interactions(interactions, everyone),
        user_ids=interactions.user_ids,
        search=DATA / "signals" / "search",
        encoder=DATA / "features" / SEMANTIC / ENCODER if SEMANTIC in catalog.features else None,
        segments=segments_of(valid.table("users"), interactions, len(catalog)),
        unsafe=unsafe_of(DATA / "features" / "visual", catalog.item_ids),
        info={
            **_period(interactions),
            "settings": {name: matcher.settings() for name, matcher in matchers.items()},
            "dataset": {"source": valid.meta.source, "synthetic": valid.meta.synthetic, "as_of": valid.meta.as_of},
            "k": params.recommend.k,
            "lists": {name: said[name] for name in LISTS},
        },
    )


def training_reports() -> dict[str, dict[str, object]]:
    paths = {name: ARTIFACTS / "training" / f"{name}.json" for name in MATCHERS}
    return {name: json.loads(path.read_text(encoding="utf-8")) for name, path in paths.items()}


def _period(interactions: Interactions) -> dict[str, str | None]:
    """First and last instant of the training data, ISO; None where the data set has no time."""
    known = interactions.timestamp[interactions.timestamp > 0]
    if not len(known):
        return {"trained_from": None, "trained_through": None}
    ends = {"trained_from": known.min(), "trained_through": known.max()}
    return {name: datetime.fromtimestamp(int(second), UTC).isoformat() for name, second in ends.items()}


if __name__ == "__main__":
    run("refit", work)
