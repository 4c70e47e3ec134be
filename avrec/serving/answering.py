"""Requests to lists: one person or history a request, with its own length and filters."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from avrec.errors import DataError
from avrec.matching.data import Histories, Mask
from avrec.matching.spreading import MMR, ListRules
from avrec.recommend.bundle import Bundle, Lists
from avrec.recommend.filters import ItemFilter
from avrec.registry.hashing import dvc_md5
from avrec.search.find import MOST_TEXT
from avrec.serving.searching import Searcher

if TYPE_CHECKING:
    import pandas as pd

DEFAULT_K, LARGEST_K = 10, 1000
LARGEST_BATCH, LARGEST_HISTORY, LONGEST_ID = 1000, 10_000, 512
_FIELDS = ("user_id", "history", "k", "filters", "text", "spoken", "diversity", "max_per_category", "segment")
_FILTERS = ("media_types", "categories", "languages", "exclude")
_MORE_FILTERS = ("max_unsafe", "at")


@dataclass(frozen=True)
class Request:
    """One question.

    Attributes:
        user_id: Pseudonym; None for a history, or for the default list.
        history: Item ids, oldest first; None to use what the model knows of the user.
        k: Length of the list.
        filters: What may be listed, of what is available now.
        segment: `COLUMN=VALUE` of the table of users, for people the model does not know.
        diversity, max_per_category: As in `avrec.matching.spreading.ListRules`; None for those of the model.
        text: Words to search for, instead of recommending.
        spoken: A spoken request as text; the last item of `history` is what was played last.
    """

    user_id: str | None
    history: tuple[str, ...] | None
    k: int
    filters: ItemFilter
    text: str | None = None
    spoken: str | None = None
    diversity: float | None = None
    max_per_category: int | None = None
    segment: str | None = None

    @classmethod
    def parse(cls, values: Mapping[str, Any]) -> Request:
        """Checks one row of a request.

        Raises:
            DataError: names the field, what was expected and what came.
        """
        unknown = [name for name in values if name not in _FIELDS and _given(values[name])]
        if unknown:
            raise DataError(f"request: unknown fields {unknown[:10]!r:.400}; expected {list(_FIELDS)}.")
        user = values.get("user_id") if _given(values.get("user_id")) else None
        history = _strings("history", values.get("history"), LARGEST_HISTORY)
        if user is not None and not (isinstance(user, str) and len(user) <= LONGEST_ID):
            raise DataError(f"user_id: expected a string of at most {LONGEST_ID} characters, got {user!r:.80}.")
        text, spoken = (_words(name, values.get(name)) for name in ("text", "spoken"))
        if text is not None and spoken is not None:
            raise DataError("text, spoken: give one of them, not both.")
        cap, strength = values.get("max_per_category"), _share("diversity", values.get("diversity"))
        limit = _length(cap, "max_per_category") if _given(cap) else None
        filters, segment = _filter(values.get("filters")), _words("segment", values.get("segment"))
        return cls(user, history, _length(values.get("k")), filters, text, spoken, strength, limit, segment)


@dataclass(frozen=True)
class Answerer:
    """A loaded bundle that answers requests.

    Example:
        ```python
        answerer = Answerer.load(Path("artifacts/bundle"))
        answerer.answer([{"history": ["i1", "i2"], "k": 5}])[0]["items"][0]["item_id"]
        ```
    """

    bundle: Bundle

    @classmethod
    def load(cls, folder: Path, expected_md5: str | None = None) -> Answerer:
        """Reads a bundle, after comparing it with the hash it was logged with.

        Raises:
            DataError: it is not the bundle that was logged.
        """
        if expected_md5 and dvc_md5(folder) != expected_md5:
            raise DataError(f"{folder} was changed after it was logged (expected {expected_md5}); it is not loaded.")
        return cls(Bundle.load(folder))

    def answer(self, requests: pd.DataFrame | Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """One answer a request, in order: `{"user_id", "known", "items"}`.

        Raises:
            DataError: a request is wrong; names its number and field.
        """
        rows: list[Any] = list(requests) if isinstance(requests, Sequence) else requests.to_dict(orient="records")
        if len(rows) > LARGEST_BATCH:
            raise DataError(f"request: expected at most {LARGEST_BATCH} rows, got {len(rows)}; send them in parts.")
        answers = []
        for number, row in enumerate(rows):
            try:
                answers.append(self.answer_one(Request.parse(row)))
            except DataError as error:
                raise DataError(f"request {number}: {error}") from error
        return answers

    def answer_one(self, request: Request) -> dict[str, Any]:
        """The list of one request; a user the model never saw gets what it has for somebody unknown."""
        if request.text is not None or request.spoken is not None:
            return self._search(request)
        known = request.user_id in self.bundle.user_index
        allowed, rules = self._allowed(request), self._rules(request)
        if known or request.history is not None:
            lists = self.bundle.recommend(self._history(request), request.k, allowed, fast=True, rules=rules)
        else:
            lists = self.bundle.default_list(request.k, allowed, request.segment, fast=True, rules=rules)
        answer: dict[str, Any] = {"known": known, "items": self._items(lists)}
        return answer if request.user_id is None else {"user_id": request.user_id, **answer}

    def _allowed(self, request: Request) -> Mask:
        """What is available and asked for, within what the model's parameters let through."""
        own, asked = self.bundle.info.get("lists", {}), request.filters
        bounds = [bound for bound in (own.get("max_unsafe"), asked.max_unsafe) if bound is not None]
        return self.bundle.allowed(replace(
            asked,
            at=asked.at or datetime.now(UTC),
            media_types=asked.media_types or own.get("media_types") or None,
            max_unsafe=min(bounds, default=None),
        ))  # fmt: skip

    def _rules(self, request: Request) -> ListRules:
        own = self.bundle.info.get("lists", {})
        diversity = own.get("diversity", 0.0) if request.diversity is None else request.diversity
        return ListRules(diversity, own.get("spread", MMR), request.max_per_category or own.get("max_per_category"))

    @cached_property
    def _searcher(self) -> Searcher:
        return Searcher(self.bundle.folder)

    def _search(self, request: Request) -> dict[str, Any]:
        mask, ids = self._allowed(request), self.bundle.catalog.item_ids
        allowed = [item_id for item_id, listed in zip(ids, mask.tolist(), strict=True) if listed]
        if request.text is not None:
            return {"known": False, **self._searcher.by_text(request.text, request.k, allowed)}
        last = request.history[-1] if request.history else None
        return {"known": False, **self._searcher.by_voice(request.spoken or "", request.k, allowed, last)}

    def _history(self, request: Request) -> Histories:
        if request.history is not None:
            return self.bundle.history(request.history)
        return self.bundle.histories_of([request.user_id or ""])  # "" is nobody: an empty history

    def _items(self, lists: Lists) -> list[dict[str, Any]]:
        titles = self.bundle.items["title"]
        ids, found = self.bundle.catalog.item_ids, []
        names = lists.reasons.names()[0] if lists.reasons else []
        for rank, (item, score) in enumerate(zip(lists.items[0].tolist(), lists.scores[0].tolist(), strict=True)):
            if item < 0:
                break
            reason = int(lists.reasons.item[0, rank]) if lists.reasons else -1
            values = {
                "rank": rank + 1,
                "item_id": ids[item],
                "title": titles[item].as_py(),
                "score": score,
                "reason_kind": names[rank] if names else "none",
                "reason_item_id": ids[reason] if reason >= 0 else None,
            }
            found.append({name: value for name, value in values.items() if value is not None})
        return found


def _given(value: Any) -> bool:
    return value is not None and not (isinstance(value, float) and math.isnan(value))


def _words(name: str, value: Any) -> str | None:
    if not _given(value):
        return None
    if not isinstance(value, str) or not 1 <= len(value.strip()) <= MOST_TEXT:
        raise DataError(f"{name}: expected 1 to {MOST_TEXT} characters, got {value!r:.80}.")
    return value


def _strings(name: str, value: Any, most: int) -> tuple[str, ...] | None:
    if not _given(value):
        return None
    values = value.tolist() if hasattr(value, "tolist") else value
    if not isinstance(values, (list, tuple)) or not all(isinstance(v, str) for v in values):
        raise DataError(f"{name}: expected a list of strings, got {value!r:.80}.")
    if any(len(v) > LONGEST_ID for v in values):
        raise DataError(f"{name}: expected strings of at most {LONGEST_ID} characters, got a longer one.")
    if len(values) > most:
        raise DataError(f"{name}: expected at most {most} entries, got {len(values)}.")
    return tuple(values)


def _length(value: Any, name: str = "k") -> int:
    if not _given(value):
        return DEFAULT_K
    whole = isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool)
    if not whole or int(value) != value or not 1 <= int(value) <= LARGEST_K:
        raise DataError(f"{name}: expected a whole number from 1 to {LARGEST_K}, got {value!r:.80}.")
    return int(value)


def _share(name: str, value: Any) -> float | None:
    if not _given(value):
        return None
    number = isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool)
    if not number or not 0 <= float(value) <= 1:
        raise DataError(f"{name}: expected a number from 0 to 1, got {value!r:.80}.")
    return float(value)


def _instant(name: str, value: Any) -> datetime | None:
    if not _given(value):
        return None
    try:
        found = datetime.fromisoformat(value)
    except (TypeError, ValueError) as error:
        raise DataError(f"{name}: expected an instant as 2026-03-01T00:00:00Z, got {value!r:.80}.") from error
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _filter(value: Any) -> ItemFilter:
    if not _given(value):
        return ItemFilter()
    if not isinstance(value, Mapping):
        raise DataError(f"filters: expected an object with {[*_FILTERS, *_MORE_FILTERS]}, got {value!r:.80}.")
    names = [*_FILTERS, *_MORE_FILTERS]
    unknown = [name for name in value if name not in names]
    if unknown:
        raise DataError(f"filters: unknown names {unknown[:10]!r:.400}; expected {names}.")
    found = {name: _strings(f"filters.{name}", value.get(name), LARGEST_HISTORY) for name in _FILTERS}
    return ItemFilter(
        at=_instant("filters.at", value.get("at")),
        max_unsafe=_share("filters.max_unsafe", value.get("max_unsafe")),
        media_types=found["media_types"],
        categories=found["categories"],
        languages=found["languages"],
        exclude=found["exclude"] or (),
    )
