"""From tables on disk to what matchers learn from.

Users are indexed by order of first appearance in the interactions as they come (a split: train, then val, then test),
so that no number depends on the key the pseudonyms were made with.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from avrec.datasets.dataset import Dataset
from avrec.errors import DataError
from avrec.features.base import Features, read_features
from avrec.features.semantic_folder import is_encoded
from avrec.matching.data import Catalog, Histories, Interactions, Ints, Longs
from avrec.schema import INTERACTIONS, ITEMS, MODALITIES, SEMANTIC

_TAGGED = {"seen": ("visual", "visual_tags"), "heard": ("audio", "sound_tags")}
"""Kinds of entities that extractors find: the modality and its column of `avrec.schema.SIGNALS`."""

_LABEL_CODES = {"positive": 1, "unknown": 0, "negative": -1}


@dataclass(frozen=True)
class Split:
    """The three parts of the interactions, one user index for all of them.

    Attributes:
        train, val, test: Time order each; before one another where the data set has time.
        slices: What the split stage says of items and users (`cold_items_val`, `light_users`, ...), by identifier.
    """

    train: Interactions
    val: Interactions
    test: Interactions
    slices: dict[str, Any] = field(default_factory=dict)

    @property
    def user_ids(self) -> tuple[str, ...]:
        return self.train.user_ids


class EvaluationSet(NamedTuple):
    """Whose lists are judged, from what history, against what.

    Attributes:
        histories: `n` people, all with at least one truth.
        truth: For each of them the items they liked in the judged part and had not seen before; ascending int32.
    """

    histories: Histories
    truth: list[Ints]


def load_catalog(valid: Dataset, features_root: Path) -> Catalog:
    """The items of a validated data set with the features found below `features_root/MODALITY`."""
    items = valid.table("items")
    ids = items["item_id"].to_pylist()
    folders = {modality: Path(features_root) / modality for modality in MODALITIES}
    there = [name for name, folder in folders.items() if (is_encoded(folder) if name == SEMANTIC else folder.is_dir())]
    found = {name: read_features(folders[name], name, ids) for name in there}
    catalog = catalog_of(items, found)
    tagged = {kind: _tags(folders[modality], column, ids) for kind, (modality, column) in _TAGGED.items()}
    return replace(catalog, entities={**catalog.entities, **{kind: names for kind, names in tagged.items() if names}})


def catalog_of(items: pa.Table, features: dict[str, Features]) -> Catalog:
    """A catalogue from an items table and features in its order; modalities no item has are left out."""
    items = ITEMS.conform(items)
    return Catalog(
        item_ids=tuple(items["item_id"].to_pylist()),
        published_at=_seconds(items["published_at"]),
        category=_codes(items["category"].to_pylist()),
        creator=_codes(items["creator_id"].to_pylist()),
        media_type=tuple(items["media_type"].to_pylist()),
        features={name: f for name, f in features.items() if f.present.any()},
        entities=_entities(items),
    )


def load_interactions(
    source: Path | str | pa.Table, catalog: Catalog, user_ids: Sequence[str] | None = None
) -> Interactions:
    """Reads interactions in time order.

    Args:
        source: A Parquet file or table of `avrec.schema.INTERACTIONS`.
        catalog: Gives items their index.
        user_ids: Gives users their index; None numbers them by first appearance.

    Raises:
        DataError: a row speaks of an item that is not in the catalogue, or of a user not in `user_ids`.
    """
    origin = "interactions" if isinstance(source, pa.Table) else str(source)
    table = INTERACTIONS.conform(source if isinstance(source, pa.Table) else pq.read_table(source))
    if user_ids is None:
        user_ids = list(dict.fromkeys(table["user_id"].to_pylist()))
    users = _index(table["user_id"], user_ids, f"{origin}: user_id")
    items = _index(table["item_id"], catalog.item_ids, f"{origin}: item_id")
    times = _seconds(table["timestamp"])
    order = np.argsort(times, kind="stable")  # stable: rows of one instant keep the order of the file
    labels = np.array([_LABEL_CODES[label] for label in table["label"].to_pylist()], np.int8)
    weights = np.asarray(table["weight"], np.float32)
    return Interactions(users[order], items[order], times[order], labels[order], weights[order], tuple(user_ids))


def load_split(split_dir: Path, catalog: Catalog) -> Split:
    """Reads `train`, `val` and `test.parquet` and `slices.json` of the stage split."""
    split_dir = Path(split_dir)
    tables = {name: _read_part(split_dir / f"{name}.parquet") for name in ("train", "val", "test")}
    users = [user for table in tables.values() for user in table["user_id"].to_pylist()]
    ids = tuple(dict.fromkeys(users))
    parts = {name: load_interactions(table, catalog, ids) for name, table in tables.items()}
    slices = split_dir / "slices.json"
    return Split(**parts, slices=json.loads(slices.read_text(encoding="utf-8")) if slices.is_file() else {})


def concat(*parts: Interactions) -> Interactions:
    """Parts of one split as one, in the order given."""
    return Interactions(
        np.concatenate([p.user for p in parts]),
        np.concatenate([p.item for p in parts]),
        np.concatenate([p.timestamp for p in parts]),
        np.concatenate([p.label for p in parts]),
        np.concatenate([p.weight for p in parts]),
        parts[0].user_ids,
    )


def evaluation_set(history: Interactions, judged: Interactions) -> EvaluationSet:
    """Everybody with a liked item in `judged` they had not seen in `history`, by user index."""
    liked = judged.positives()
    pairs = np.unique(liked.user.astype(np.int64) * (2**31) + liked.item)
    seen = np.unique(history.user.astype(np.int64) * (2**31) + history.item)
    pairs = pairs[~np.isin(pairs, seen, assume_unique=True)]
    users, starts = np.unique(pairs >> 31, return_index=True)
    truth = np.split((pairs & (2**31 - 1)).astype(np.int32), starts[1:]) if len(users) else []
    return EvaluationSet(Histories.from_interactions(history, users.astype(np.int32)), truth)


def val_histories(split: Split) -> EvaluationSet:
    """Validation: lists from the training history."""
    return evaluation_set(split.train, split.val)


def test_histories(split: Split) -> EvaluationSet:
    """Test: lists from the history up to it, validation included; models are fitted on train alone."""
    return evaluation_set(concat(split.train, split.val), split.test)


test_histories.__test__ = False  # type: ignore[attr-defined]  # pytest would take it for a test where imported


def validation_halves(validation: Interactions, seed: int) -> tuple[Interactions, Interactions]:
    """Validation interactions of two random halves of the users.

    Matchers choose their settings on the first; the hybrid learns its blend on the second. So a matcher that
    fitted its half too well does not look better to the blend than it is.
    """
    users = np.unique(validation.user)
    shuffled = np.random.default_rng(seed).permutation(users)
    first = np.isin(validation.user, shuffled[: (len(users) + 1) // 2])
    return validation.where(first), validation.where(~first)


def _read_part(path: Path) -> pa.Table:
    if not path.is_file():
        raise DataError(f"{path} is missing; run `dvc repro split`.")
    return INTERACTIONS.conform(pq.read_table(path))


def _index(values: pa.ChunkedArray, ids: Sequence[str], what: str) -> Ints:
    found = pc.index_in(values, value_set=pa.array(ids, pa.string()))
    if found.null_count:
        row = pc.index(pc.is_null(found), True).as_py()
        raise DataError(f"{what}: '{values[row].as_py()}' in row {row} is unknown; {found.null_count} such rows.")
    return np.asarray(found, dtype=np.int32)


def _entities(items: pa.Table) -> dict[str, list[tuple[str, ...]]]:
    """Creator, category and tags of every item, of those columns that say anything."""
    names: dict[str, list[tuple[str, ...]]] = {
        kind: [() if name is None else (name,) for name in items[column].to_pylist()]
        for kind, column in (("creator", "creator_id"), ("category", "category"))
    }
    names["tag"] = [tuple(dict.fromkeys(tags or ())) for tags in items["tags"].to_pylist()]
    return {kind: linked for kind, linked in names.items() if any(linked)}


def _tags(folder: Path, column: str, ids: Sequence[str]) -> list[tuple[str, ...]]:
    """What an extractor saw or heard in every item; empty where it kept no such signals."""
    path = folder / "signals.parquet"
    if not path.is_file():
        return []
    table = pq.read_table(path, columns=["item_id", column])
    found = dict(zip(table["item_id"].to_pylist(), table[column].to_pylist(), strict=True))
    names = [tuple(found.get(item) or ()) for item in ids]
    return names if any(names) else []


def _seconds(values: pa.ChunkedArray) -> Longs:
    micros = pc.fill_null(values.cast(pa.int64()), 0)
    return np.asarray(micros, dtype=np.int64) // 1_000_000


def _codes(values: list[str | None]) -> Ints:
    names = dict.fromkeys(value for value in values if value is not None)
    index = {name: code for code, name in enumerate(names)}
    return np.array([-1 if value is None else index[value] for value in values], np.int32)
