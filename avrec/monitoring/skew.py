"""Whether what serves is fed with what it was trained on: vectors, people and items against newer data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from avrec.features.base import Features


@dataclass(frozen=True)
class Skew:
    """What the champion meets in the newest data.

    Attributes:
        vectors: By modality, the share of the items both have whose vector, or whether there is one, differs. Vectors
            are bit-equal whoever computes them, so that anything above 0 says that media or extractor changed.
        new_items: Share of the items that the champion never saw in training.
        new_people: Share of the people with a history whom it never saw.
    """

    vectors: Mapping[str, float]
    new_items: float
    new_people: float


def training_serving_skew(
    bundle: Path, item_ids: list[str], features: Mapping[str, Features], people: list[str]
) -> Skew:
    """Compares a bundle's folder, without loading its matchers, with newer data.

    Args:
        bundle: Folder that `write_bundle` wrote.
        item_ids: Items of the newer data.
        features: Their vectors by modality, in the same order.
        people: People with a history in the newer data.
    """
    known = pq.read_table(bundle / "items.parquet", columns=["item_id"])["item_id"].to_pylist()
    place = {item: row for row, item in enumerate(known)}
    rows = np.array([place.get(item, -1) for item in item_ids], dtype=np.int64)
    with np.load(bundle / "histories.npz", allow_pickle=False) as arrays:
        trained_on = set(arrays["user_ids"].tolist())
    return Skew(
        vectors={name: _different(bundle, name, found, rows) for name, found in features.items()},
        new_items=float((rows < 0).mean()) if len(rows) else 0.0,
        new_people=sum(user not in trained_on for user in people) / max(len(people), 1),
    )


def _different(bundle: Path, modality: str, found: Features, rows: np.ndarray) -> float:  # type: ignore[type-arg]
    path = bundle / "features" / f"{modality}.npz"
    shared = np.nonzero(rows >= 0)[0]
    if not path.is_file() or not len(shared):
        return 0.0
    with np.load(path, allow_pickle=False) as arrays:
        vectors, present = arrays["vectors"][rows[shared]], arrays["present"][rows[shared]]
    if vectors.shape[1] != found.dim:
        return 1.0
    same = (present == found.present[shared]) & (~present | (vectors == found.vectors[shared]).all(axis=1))
    return float(1.0 - same.mean())
