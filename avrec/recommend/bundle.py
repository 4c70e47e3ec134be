"""The deployable model: a folder that holds the catalogue, its vectors, the matchers and people's histories.

`refit` writes it, MLflow keeps it, serving and the recommendation tables read it. It needs nothing but `avrec`: no data
set, no network, no pickle.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from avrec.datasets.dataset import write_table
from avrec.errors import DataError
from avrec.features.base import Features, read_features
from avrec.features.semantic_folder import encoder_hash
from avrec.matching.base import BLOCK, Matcher, Reasons, mask_scores, save_arrays
from avrec.matching.data import Catalog, Floats, Histories, Ints, Longs, Mask
from avrec.matching.loading import catalog_of
from avrec.matching.registry import load_matcher
from avrec.matching.spreading import Likeness, ListRules, arrange
from avrec.recommend.catalogs import extend_features, extend_items, extend_unsafe
from avrec.recommend.filters import ItemFilter, allowed_items
from avrec.recommend.segments import Segments, explained, nobody
from avrec.schema import EXTRACTED, ITEMS, SEMANTIC

FORMAT = 1
INFO = "bundle.json"
UNSAFE, SEGMENTS = "unsafe.npz", "segments.npz"

BY_SCORE = ListRules()
"""Lists in the order of the scores."""


@dataclass(frozen=True)
class Lists:
    """What some people get.

    Attributes:
        items: Catalogue indices `[n, k]` int64, best first; -1 where a row has no more eligible items.
        scores: `[n, k]` float32; `-inf` where there is no item.
        reasons: Why, in the same shape; None where nobody asked.
    """

    items: Longs
    scores: Floats
    reasons: Reasons | None

    def __len__(self) -> int:
        return len(self.items)


@dataclass(frozen=True)
class Bundle:
    """A loaded bundle.

    Attributes:
        folder: Where it was read from.
        info: `bundle.json`: format, matchers, serve, settings, trained_from, trained_through, dataset, k.
        items: Table `ITEMS` in catalogue order.
        catalog: The same items as the matchers see them.
        matchers: By name; `info["serve"]` is the one that makes the lists.
        histories: Everybody's history at the end of the training, a row a person.
        user_ids: Whose row it is.
        unsafe: Probability of unsafe pictures of each item `[n_items]`; NaN where nobody judged.
        segments: What people of a segment like more than others.

    Example:
        ```python
        bundle = Bundle.load(Path("artifacts/bundle"))
        lists = bundle.recommend(bundle.histories_of(["u1"]), k=10)
        [bundle.catalog.item_ids[i] for i in lists.items[0]]
        ```
    """

    folder: Path
    info: Mapping[str, Any]
    items: pa.Table
    catalog: Catalog
    matchers: Mapping[str, Matcher]
    histories: Histories
    user_ids: tuple[str, ...]
    unsafe: Floats
    segments: Segments

    @classmethod
    def load(cls, folder: Path | str) -> Bundle:
        """Reads a folder that `write_bundle` wrote.

        Raises:
            DataError: not a bundle, or one of a newer format.
        """
        folder = Path(folder)
        info = _read_info(folder)
        items = ITEMS.conform(pq.read_table(folder / "items.parquet"))
        catalog = catalog_of(items, _read_features(folder))
        with np.load(folder / "histories.npz", allow_pickle=False) as arrays:
            user_ids = tuple(arrays["user_ids"].tolist())
            histories = Histories(*(arrays[name] for name in _HISTORY))
        matchers = _load_matchers(folder, info, catalog)
        unsafe, segments = _read_unsafe(folder, len(catalog)), _read_segments(folder, len(catalog))
        return cls(folder, info, items, catalog, matchers, histories, user_ids, unsafe, segments)

    @property
    def model(self) -> Matcher:
        """The matcher that makes the lists."""
        return self.matchers[self.info["serve"]]

    @property
    def synthetic(self) -> bool:
        """True where no person made the data it learned from."""
        return bool(self.info["dataset"].get("synthetic", False))

    @cached_property
    def user_index(self) -> dict[str, int]:
        return {user: row for row, user in enumerate(self.user_ids)}

    def recommend(self, histories: Histories, k: int, allowed: Mask | None = None, fast: bool = False,
                  rules: ListRules = BY_SCORE, reasons: bool = True) -> Lists:  # fmt: skip
        """The best `k` items a row, everything seen left out.

        Args:
            histories: `n` rows over this bundle's catalogue.
            k: Length of the lists.
            allowed: `[n_items]` bool, see `allowed`.
            fast: For a request that waits (`Matcher.answer`): the rows are scored as they are instead of in padded
                blocks, and in a large catalogue only the most promising items by all that is known of them. The last
                bits of a score may then differ from a published table's.
            rules: How far items like those already listed move down, and how many of a category may be listed.
            reasons: Also say why.
        """
        if k < 1:
            raise ValueError(f"k: expected at least 1, got {k}.")
        if fast and 0 < len(histories) <= BLOCK:
            scores, explain = self.model.answer(histories, allowed)
            found, values = arrange(scores, k, rules, self._likeness, self.catalog.category)
            return Lists(found, values, told(explain, found) if reasons else None)
        parts = [
            self._block(histories.slice(start, min(start + BLOCK, len(histories))), k, allowed, rules)
            for start in range(0, len(histories), BLOCK)
        ]
        if not parts:
            return Lists(np.zeros((0, k), np.int64), np.zeros((0, k), np.float32), Reasons.empty((0, k)))
        items = np.concatenate([part.items for part in parts])
        why = self.model.explain(histories, items) if reasons else None
        return Lists(items, np.concatenate([part.scores for part in parts]), why)

    def default_list(self, k: int, allowed: Mask | None = None, segment: str | None = None, fast: bool = False,
                     rules: ListRules = BY_SCORE) -> Lists:  # fmt: skip
        """The list `[1, k]` of somebody unknown.

        Args:
            k: Length.
            allowed: `[n_items]` bool, see `allowed`.
            segment: `COLUMN=VALUE`, what is known of the person; one the model does not know is as none.
            fast: As for `recommend`.
            rules: As for `recommend`.
        """
        stranger, lift = Histories.of([[]]), self.segments.of(segment) if segment else None
        if lift is None:
            return self.recommend(stranger, k, allowed, fast, rules)
        scores = self.model.score(stranger, exact_block=not fast)
        masked = mask_scores(scores + lift, stranger, allowed)
        items, values = arrange(masked, k, rules, self._likeness, self.catalog.category)
        return Lists(items, values, explained(self.model.explain(stranger, items), items, scores[0], lift))

    def _block(self, histories: Histories, k: int, allowed: Mask | None, rules: ListRules) -> Lists:
        scores = mask_scores(self.model.score(histories), histories, allowed)
        return Lists(*arrange(scores, k, rules, self._likeness, self.catalog.category), None)

    @cached_property
    def _likeness(self) -> Likeness:
        return Likeness(self.catalog)

    def histories_of(self, user_ids: Sequence[str]) -> Histories:
        """Histories at the end of the training, in the order asked for; people it never saw have an empty one."""
        rows = [self.user_index.get(user, -1) for user in user_ids]
        liked = [self.histories.liked(row).tolist() if row >= 0 else [] for row in rows]
        seen = [self.histories.seen(row).tolist() if row >= 0 else [] for row in rows]
        return Histories.of(liked, seen, self.users(user_ids).tolist())

    def users(self, user_ids: Sequence[str]) -> Ints:
        """What the matchers call these people, int32; -1 for those they never saw."""
        rows = [self.user_index.get(user, -1) for user in user_ids]
        return np.array([self.histories.user[row] if row >= 0 else -1 for row in rows], dtype=np.int32)

    def history(self, item_ids: Sequence[str]) -> Histories:
        """One history of an unknown person who liked these items, oldest first.

        Raises:
            DataError: an item is not in the catalogue.
        """
        unknown = [item for item in item_ids if item not in self.catalog.index]
        if unknown:
            raise DataError(f"history: items {unknown[:5]} are not in the catalogue of {len(self.catalog)} items.")
        return Histories.of([[self.catalog.index[item] for item in item_ids]])

    def allowed(self, wanted: ItemFilter) -> Mask:
        """The items a filter lets through, `[n_items]` bool."""
        return allowed_items(self.items, wanted, self.unsafe)

    @property
    def reads(self) -> tuple[str, ...]:
        """Modalities whose folders `features_of` reads."""
        return EXTRACTED if SEMANTIC in self.catalog.features else tuple(self.catalog.features)

    def features_of(self, features: Path, item_ids: Sequence[str]) -> dict[str, Features]:
        """Vectors of any items as this model needs them; semantic ones are read by its own encoder, now.

        Args:
            features: Folder with a folder for each of `reads`, as the feature stages write them.
            item_ids: Items in the order wanted.

        Raises:
            DataError: a folder is not there or not sound, or the bundle lacks its encoder.
        """
        own = [name for name in self.catalog.features if name != SEMANTIC]
        found = {name: read_features(features / name, name, item_ids) for name in own}
        if SEMANTIC in self.catalog.features:
            from avrec.features.semantic_tables import encoded_features

            found[SEMANTIC] = encoded_features(self.folder / SEMANTIC, features, item_ids)
        return found

    def shared_features(self, other: Bundle) -> dict[str, Features]:
        """Vectors of another bundle's items that mean the same here: its semantic ones only if the encoder is one."""
        same = encoder_hash(self.folder / SEMANTIC) == encoder_hash(other.folder / SEMANTIC)
        return {name: found for name, found in other.catalog.features.items() if same or name != SEMANTIC}

    def with_catalog(self, items: pa.Table, features: Mapping[str, Features], unsafe: Floats | None = None) -> Bundle:
        """The same model over a catalogue that is newer than its training.

        Items of the bundle keep their index and vectors and take the newer metadata; new ones are appended.

        Args:
            items: A newer table `ITEMS`.
            features: By modality, in the order of `items`.
            unsafe: Probability of unsafe pictures in the same order, NaN where nobody judged.
        """
        merged, rows = extend_items(self.items, ITEMS.conform(items))
        catalog = catalog_of(merged, extend_features(self.catalog.features, features, rows))
        matchers = _load_matchers(self.folder, self.info, catalog)
        judged = extend_unsafe(self.unsafe, unsafe, rows)
        return replace(self, items=merged, catalog=catalog, matchers=matchers, unsafe=judged,
                       segments=self.segments.widened(len(catalog)))  # fmt: skip


def told(explain: Callable[[Longs], Reasons], items: Longs) -> Reasons:
    """Reasons of lists that may end in -1, which have none."""
    why, none = explain(items), Reasons.empty(items.shape)
    return Reasons(np.where(items >= 0, why.kind, none.kind), np.where(items >= 0, why.item, none.item))


_HISTORY = ("user", "indptr", "items", "seen_indptr", "seen_items")


def write_bundle(
    folder: Path,
    *,
    items: pa.Table,
    features: Mapping[str, Features],
    matchers: Mapping[str, Matcher],
    serve: str,
    histories: Histories,
    user_ids: Sequence[str],
    info: Mapping[str, Any],
    search: Path | None = None,
    encoder: Path | None = None,
    unsafe: Floats | None = None,
    segments: Segments | None = None,
) -> None:
    """Writes a bundle; equal inputs give equal bytes.

    Args:
        folder: New or empty folder.
        items: Table `ITEMS` in catalogue order.
        features: By modality, in the same order.
        matchers: Fitted matchers by name, the one that serves included.
        serve: Name of the matcher that makes the lists.
        histories: A row for each of `user_ids`.
        user_ids: Pseudonyms.
        info: `settings`, `trained_from`, `trained_through` (ISO or None), `dataset` (source, synthetic, as_of) and `k`.
        search: Folder of a search index over the same items, which goes along.
        encoder: Folder of the encoder that the semantic vectors are of; it goes along, for items that come later.
        unsafe: Probability of unsafe pictures of each item; NaN, or None for all, where nobody judged.
        segments: Of `avrec.recommend.segments.segments_of`; None for no default list by segment.

    Raises:
        DataError: `serve` is not among the matchers, or histories and user ids differ in number.
    """
    if serve not in matchers:
        raise DataError(f"serve: expected one of {sorted(matchers)}, got '{serve}'.")
    if len(histories) != len(user_ids):
        raise DataError(f"histories: expected a row for each of {len(user_ids)} users, got {len(histories)}.")
    write_table(folder, "items", items)
    (folder / "features").mkdir(exist_ok=True)
    for modality, found in features.items():
        save_arrays(folder / "features" / f"{modality}.npz", {"vectors": found.vectors, "present": found.present})
    for name, matcher in matchers.items():
        matcher.save(folder / "matchers" / name)
    arrays: dict[str, Any] = {name: getattr(histories, name) for name in _HISTORY}
    save_arrays(folder / "histories.npz", {**arrays, "user_ids": np.array(list(user_ids), dtype=str)})
    if unsafe is not None:
        save_arrays(folder / UNSAFE, {"unsafe": unsafe})
    if segments is not None:
        save_arrays(folder / SEGMENTS, segments.state())
    for part, path in (("search", search), (SEMANTIC, encoder)):
        if path is not None:
            shutil.copytree(path, folder / part)
    values = {**info, "format": FORMAT, "matchers": sorted(matchers), "serve": serve}
    text = json.dumps(values, indent=2, sort_keys=True, ensure_ascii=False)
    (folder / INFO).write_text(text + "\n", encoding="utf-8")


def _read_info(folder: Path) -> dict[str, Any]:
    path = folder / INFO
    if not path.is_file():
        raise DataError(f"{folder} is not a bundle: {INFO} is missing. Run `dvc repro refit`.")
    info: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    if info.get("format") != FORMAT:
        raise DataError(f"{path}: expected format {FORMAT}, got {info.get('format')}; use the avrec that wrote it.")
    return info


def _read_features(folder: Path) -> dict[str, Features]:
    features = {}
    for path in sorted((folder / "features").glob("*.npz")):
        with np.load(path, allow_pickle=False) as arrays:
            features[path.stem] = Features(path.stem, arrays["vectors"], arrays["present"])
    return features


def _read_unsafe(folder: Path, n_items: int) -> Floats:
    if not (folder / UNSAFE).is_file():
        return np.full(n_items, np.nan, np.float32)
    with np.load(folder / UNSAFE, allow_pickle=False) as arrays:
        judged: Floats = arrays["unsafe"]
    return judged


def _read_segments(folder: Path, n_items: int) -> Segments:
    if not (folder / SEGMENTS).is_file():
        return nobody(n_items)
    with np.load(folder / SEGMENTS, allow_pickle=False) as arrays:
        return Segments(tuple(arrays["names"].tolist()), arrays["lift"])


def _load_matchers(folder: Path, info: Mapping[str, Any], catalog: Catalog) -> dict[str, Matcher]:
    return {name: load_matcher(folder / "matchers" / name, catalog) for name in info["matchers"]}
