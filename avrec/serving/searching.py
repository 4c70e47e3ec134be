"""Search as part of the served model: words or a spoken request in, items and moments out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from avrec.errors import DataError
from avrec.search.find import LARGEST_K, Hit, Question, find
from avrec.search.index import SearchIndex
from avrec.search.spoken import spoken_answer, understand

FOLDER = "search"
"""Where the index is below a bundle."""


class Searcher:
    """The index of a bundle, read at the first question.

    Raises:
        DataError: the bundle holds no index.
    """

    def __init__(self, bundle: Path) -> None:
        if not (bundle / FOLDER).is_dir():
            raise DataError("text, spoken: this model was made without a search index; run `dvc repro refit`.")
        self._index = SearchIndex.load(bundle / FOLDER)

    def by_text(self, text: str, k: int, allowed: Sequence[str]) -> dict[str, Any]:
        """`{"items": [...]}` for words."""
        return {"items": _items(self._find(Question(text=text), k, allowed))}

    def by_voice(self, said: str, k: int, allowed: Sequence[str], last: str | None) -> dict[str, Any]:
        """The same for a spoken request, with `answer`: a sentence fit to be spoken."""
        request = understand(said, last)
        hits = self._find(request.question, k, allowed)
        return {"items": _items(hits), "answer": spoken_answer(request, hits)}

    def _find(self, question: Question, k: int, allowed: Sequence[str]) -> list[Hit]:
        listed = set(allowed)
        deep = min(LARGEST_K, max(10 * k, 100))
        return [hit for hit in find(self._index, question, deep) if hit.item_id in listed][:k]


def _items(hits: Sequence[Hit]) -> list[dict[str, Any]]:
    return [
        {
            "rank": rank,
            "item_id": hit.item_id,
            "title": hit.title,
            "score": hit.score,
            "reason_kind": "search",
            "reason": hit.why,
            "start_s": hit.start_s,
            "end_s": hit.end_s,
        }
        for rank, hit in enumerate(hits, 1)
    ]
