"""The contract of every matcher: fit, score, recommend, save, load."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from avrec.errors import DataError, NotFittedError
from avrec.matching.data import Arrays, Catalog, Floats, Histories, Interactions, Ints, Longs, Mask
from avrec.matching.shortlist import Rough

BLOCK = 256
"""Rows scored together; bounds the memory of a dense block of scores."""


REASON_KINDS = (
    "watched", "taste", "picture", "sound", "text", "popular", "fresh", "none", "creator", "category", "tag", "path",
    "segment",
)  # fmt: skip
"""What may speak for an item. `watched`: people who liked the named item like this one; `taste`: it lies close to the
person's learned taste, to which the named item contributed most; `picture`, `sound`, `text`: it looks, sounds or
reads like the named item; `creator`, `category`, `tag`: it shares them with the named item; `path`: several such steps
lead there from the named item; `segment`: people of the same segment like it more than others; `popular`, `fresh`: what
they say; `none`: nothing spoke for it, the list needed filling. Matchers keep their places in this tuple: new kinds
come at its end."""

MODALITY_REASONS = {"visual": "picture", "audio": "sound", "text": "text", "semantic": "taste"}


@dataclass(frozen=True)
class Reasons:
    """What contributed most to each score, as computed by the model.

    Attributes:
        kind: Index into `REASON_KINDS`, `[n, k]` int8.
        item: Liked item that contributed most, `[n, k]` int32; -1 where no single item did.
    """

    kind: npt.NDArray[np.int8]
    item: Ints

    @classmethod
    def empty(cls, shape: tuple[int, ...]) -> Reasons:
        """All `none`."""
        return cls(np.full(shape, REASON_KINDS.index("none"), np.int8), np.full(shape, -1, np.int32))

    def names(self) -> list[list[str]]:
        """The kinds as words, row by row."""
        return [[REASON_KINDS[kind] for kind in row] for row in self.kind.tolist()]


@dataclass(frozen=True)
class FitReport:
    """What training says of itself; goes to the run's metrics.

    Attributes:
        settings: The settings actually used, those chosen on validation included (for `refit`).
        epochs: One mapping of metric to value an epoch, for matchers that iterate.
        trials: Settings tried on validation and what came of each.
        importance: What each modality counts, on average over the items that have several; adds up to 1.
        sizes: Bytes of the weights as stored, and before they were compressed.
    """

    settings: dict[str, Any] = field(default_factory=dict)
    epochs: list[dict[str, float]] = field(default_factory=list)
    trials: list[dict[str, float]] = field(default_factory=list)
    importance: dict[str, float] = field(default_factory=dict)
    sizes: dict[str, float] = field(default_factory=dict)


class Matcher(ABC):
    """Scores every item of a catalogue for any history, of people it knows or never saw.

    A subclass sets `name`, and writes `fit`, `_score`, `_explain`, `_state` and `_restore`. It never sees whose history
    it is beyond `Histories.user`, and never looks at `seen`: masking is done here, once, for all.

    Attributes:
        uses_features: Whether the vectors of the catalogue matter; if so the stage `train` makes a shuffled twin.
        knows_new: Whether an item's score is the same whether or not anybody met it. From such matchers the hybrid
            learns what to make of new items, of which validation has too few.
        exact_rows: Whether `_score` gives a row the same bits in a block of any size (`avrec.matching.exact`). Blocks
            of those that do not promise it are padded to `BLOCK` rows.
        twin_seed: Set for a twin: it sees the features of the catalogue shuffled among items with this seed.
    """

    name: ClassVar[str]
    uses_features: ClassVar[bool] = False
    knows_new: ClassVar[bool] = False
    exact_rows: bool = False
    catalog: Catalog | None = None
    twin_seed: int | None = None

    @abstractmethod
    def fit(self, catalog: Catalog, train: Interactions, validation: Interactions | None = None) -> FitReport:
        """Learns from `train`. `validation` serves early stopping only; None in refit, which uses frozen settings."""

    @abstractmethod
    def _score(self, histories: Histories) -> Floats:
        """Scores `[len(histories), n_items]` float32, finite, for one block."""

    @abstractmethod
    def _explain(self, histories: Histories, items: Longs) -> Reasons:
        """What contributed most to the scores of `items` `[n, k]`, all of them indices of the catalogue."""

    @abstractmethod
    def _state(self) -> Arrays:
        """Arrays that `_restore` needs, without the catalogue."""

    @abstractmethod
    def _restore(self, state: Arrays, settings: dict[str, Any], catalog: Catalog) -> None:
        """Becomes the matcher that was saved. The catalogue may hold items that are newer than the training."""

    @abstractmethod
    def settings(self) -> dict[str, Any]:
        """Settings as JSON values; with them and the same data `fit` gives the same matcher."""

    def score(self, histories: Histories, exact_block: bool = True) -> Floats:
        """Scores of one block `[n, n_items]` float32, `n <= BLOCK`.

        Args:
            histories: `n` rows.
            exact_block: Pad the block to `BLOCK` rows where the matcher needs that for a row's bits not to depend on
                its company (what tables ask for). False is faster for a few rows; the last bits may then differ.
        """
        self._require_fitted()
        n = len(histories)
        if n > BLOCK:
            raise ValueError(f"histories: expected at most {BLOCK} rows in a block, got {n}; use `recommend`.")
        self._check_items("histories.items", histories.items)
        pad = exact_block and not self.exact_rows
        return self._score(_padded(histories) if pad else histories)[:n]

    def rough(self, histories: Histories) -> list[Rough] | None:
        """What it can say quickly of a large catalogue, a row a person; None where its scores are as quick."""
        return None

    def answer(self, histories: Histories, allowed: Mask | None = None) -> tuple[Floats, Callable[[Longs], Reasons]]:
        """For a request that waits: scores of a few people, and what tells the reasons of their lists.

        Args:
            histories: `n` rows, `n <= BLOCK`.
            allowed: `[n_items]` bool; items that may be listed.

        Returns:
            Scores `[n, n_items]` float32, `-inf` for what was seen or is not allowed, and a function of items `[n, k]`
            that gives their `Reasons`. The scores of the best are those of `score`, but for the last bits; far behind
            them only the order may be meant.
        """
        scores = mask_scores(self.score(histories, exact_block=False), histories, allowed)
        return scores, lambda items: self.explain(histories, items)

    def recommend(
        self, histories: Histories, k: int, allowed: Mask | None = None, exact_block: bool = True
    ) -> tuple[Longs, Floats]:
        """The best `k` items a row, best first, everything seen left out.

        Args:
            histories: `n` rows.
            k: Length of the lists; rows with fewer eligible items end in -1 and `-inf`.
            allowed: `[n_items]` bool; items that may be listed (availability, media type, safety).
            exact_block: As for `score`.

        Returns:
            Item indices `[n, k]` int64 and scores `[n, k]` float32. Equal scores are in index order.
        """
        if k < 1:
            raise ValueError(f"k: expected at least 1, got {k}.")
        n_items = len(self._require_fitted())
        if allowed is not None and np.shape(allowed) != (n_items,):
            raise ValueError(f"allowed: expected shape ({n_items},), one entry an item, got {np.shape(allowed)}.")
        self._check_items("histories.seen_items", histories.seen_items)
        blocks = [
            self._best(part, k, allowed, exact_block)
            for part in (histories.slice(i, min(i + BLOCK, len(histories))) for i in range(0, len(histories), BLOCK))
        ]
        if not blocks:
            return np.zeros((0, k), np.int64), np.zeros((0, k), np.float32)
        return np.concatenate([b[0] for b in blocks]), np.concatenate([b[1] for b in blocks])

    def _best(self, block: Histories, k: int, allowed: Mask | None, exact_block: bool) -> tuple[Longs, Floats]:
        """One block of `recommend`; for those who know a faster way to the same lists."""
        return top_k(mask_scores(self.score(block, exact_block), block, allowed), k)

    def explain(self, histories: Histories, items: Longs) -> Reasons:
        """What contributed most to the scores of `items`.

        Args:
            histories: `n` rows.
            items: Item indices `[n, k]`, as `recommend` gives them; -1 entries get the reason `none`.
        """
        self._require_fitted()
        if items.ndim != 2 or len(items) != len(histories):
            raise ValueError(f"items: expected shape ({len(histories)}, k), a row a history, got {items.shape}.")
        self._check_items("items", items[items >= 0])
        if not items.size:
            return Reasons.empty(items.shape)
        parts = [
            self._explain(histories.slice(i, min(i + BLOCK, len(items))), np.maximum(items[i : i + BLOCK], 0))
            for i in range(0, len(items), BLOCK)
        ]
        none = Reasons.empty(items.shape)
        return Reasons(
            np.where(items >= 0, np.concatenate([p.kind for p in parts]), none.kind).astype(np.int8),
            np.where(items >= 0, np.concatenate([p.item for p in parts]), none.item).astype(np.int32),
        )

    def save(self, folder: Path) -> None:
        """Writes `settings.json` and `state.npz` (no pickle; equal states give equal bytes)."""
        self._require_fitted()
        folder.mkdir(parents=True, exist_ok=True)
        values: dict[str, Any] = {"name": self.name, "settings": self.settings()}
        if self.twin_seed is not None:
            values["twin_seed"] = self.twin_seed
        text = json.dumps(values, indent=2, sort_keys=True)
        (folder / "settings.json").write_text(text + "\n", encoding="utf-8")
        save_arrays(folder / "state.npz", self._state())

    @classmethod
    def load(cls, folder: Path, catalog: Catalog) -> Matcher:
        """Reads what `save` wrote, for a catalogue that holds at least the items of the training.

        A twin is given the catalogue as it is, and shuffles the features itself.

        Raises:
            DataError: the folder holds no matcher, another one, or one trained on items the catalogue lacks.
        """
        values = read_settings(folder)
        if values["name"] != cls.name or values.get("disabled"):
            state = "switched off in params.yaml" if values.get("disabled") else f"a matcher '{values['name']}'"
            raise DataError(f"{folder}: expected a fitted matcher '{cls.name}', found {state}.")
        matcher = cls.__new__(cls)
        matcher.twin_seed = values.get("twin_seed")
        catalog = twin_catalog(catalog, matcher.twin_seed)
        matcher._load_from(folder, values["settings"], catalog)
        matcher.catalog = catalog
        return matcher

    def _load_from(self, folder: Path, settings: dict[str, Any], catalog: Catalog) -> None:
        with np.load(folder / "state.npz", allow_pickle=False) as arrays:
            self._restore(dict(arrays), settings, catalog)

    def _require_fitted(self) -> Catalog:
        if self.catalog is None:
            raise NotFittedError(f"{self.name}: call fit or load first.")
        return self.catalog

    def _check_items(self, argument: str, items: npt.NDArray[Any]) -> None:
        n_items = len(self._require_fitted())
        if items.size and not (items.min() >= 0 and items.max() < n_items):
            raise ValueError(
                f"{argument}: expected indices from 0 to {n_items - 1}, got {items.min()} to {items.max()} "
                f"in an array of shape {items.shape}."
            )


def read_settings(folder: Path) -> dict[str, Any]:
    """`settings.json` of a saved matcher.

    Raises:
        DataError: there is none, or it is not one of ours.
    """
    path = folder / "settings.json"
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise DataError(f"{path} is missing: no matcher was saved there. Run `dvc repro`.") from error
    except json.JSONDecodeError as error:
        raise DataError(f"{path} is not JSON: {error}") from error
    if not isinstance(values, dict) or "name" not in values:
        raise DataError(f"{path}: expected an object with a key 'name'.")
    return values


def twin_catalog(catalog: Catalog, seed: int | None) -> Catalog:
    """The catalogue with each item given the features of another one; itself where `seed` is None."""
    if seed is None:
        return catalog
    return catalog.with_features({name: features.shuffled(seed) for name, features in catalog.features.items()})


def id_array(catalog: Catalog) -> npt.NDArray[np.str_]:
    """Item ids as an array that `save_arrays` can write."""
    return np.array(catalog.item_ids, dtype=np.str_)


def positions(item_ids: npt.NDArray[np.str_], catalog: Catalog, name: str) -> Longs:
    """Where saved items are in a catalogue, `[len(item_ids)]` int64.

    Raises:
        DataError: the catalogue lacks an item of the training.
    """
    missing = [item for item in item_ids.tolist() if item not in catalog.index]
    if missing:
        raise DataError(
            f"{name}: the catalogue lacks {len(missing)} items of the training, e.g. '{missing[0]}'. "
            "Load it with the catalogue it was trained on, or with a newer one."
        )
    return np.array([catalog.index[item] for item in item_ids.tolist()], dtype=np.int64)


def mask_scores(scores: Floats, histories: Histories, allowed: Mask | None) -> Floats:
    """`scores` with `-inf` at what was seen and what is not allowed; a new array."""
    scores = scores.copy()
    rows = np.repeat(np.arange(len(histories)), np.diff(histories.seen_indptr))
    scores[rows, histories.seen_items] = -np.inf
    if allowed is not None:
        scores[:, ~allowed] = -np.inf
    return scores


def top_k(scores: Floats, k: int) -> tuple[Longs, Floats]:
    """Best `k` columns a row, best first, ties in index order; -1 where the score is `-inf`."""
    n, m = scores.shape
    width = min(k, m)
    # A stable sort of the few candidates above the k-th value keeps ties in index order.
    kth = np.partition(scores, m - width, axis=1)[:, m - width]
    items = np.full((n, k), -1, np.int64)
    values = np.full((n, k), -np.inf, np.float32)
    for row in range(n):
        candidates = np.flatnonzero(scores[row] >= kth[row])
        order = candidates[np.argsort(-scores[row, candidates], kind="stable")][:width]
        items[row, :width], values[row, :width] = order, scores[row, order]
    items[values == -np.inf] = -1
    return items, values


def save_arrays(path: Path, arrays: Arrays) -> None:
    """`np.savez` with a fixed order and fixed dates, so that equal arrays give equal bytes."""
    import io
    import zipfile

    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for name in sorted(arrays):
            buffer = io.BytesIO()
            np.lib.format.write_array(  # type: ignore[no-untyped-call]
                buffer, np.ascontiguousarray(arrays[name]), allow_pickle=False
            )
            archive.writestr(zipfile.ZipInfo(f"{name}.npy", (1980, 1, 1, 0, 0, 0)), buffer.getvalue())


def _padded(histories: Histories) -> Histories:
    missing = BLOCK - len(histories)
    if not missing:
        return histories
    return Histories(
        np.concatenate([histories.user, np.full(missing, -1, np.int32)]),
        np.concatenate([histories.indptr, np.full(missing, histories.indptr[-1])]),
        histories.items,
        np.concatenate([histories.seen_indptr, np.full(missing, histories.seen_indptr[-1])]),
        histories.seen_items,
    )
