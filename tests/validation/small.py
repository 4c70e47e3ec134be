"""A small data set with one of everything that can be wrong."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa

from avrec.datasets.dataset import Dataset, DatasetMeta, write_meta, write_table
from avrec.schema import COMMENTS, INTERACTIONS, ITEMS, MEDIA

AS_OF = datetime(2026, 3, 1, tzinfo=UTC)


def item(number: int, **changes: Any) -> dict[str, Any]:
    return {
        "item_id": f"i{number}",
        "media_type": "video",
        "title": f"Title {number}",
        "category": "ab"[number % 2],
        "published_at": AS_OF - timedelta(days=30),
        "duration_s": 4.0 + number % 7,
        "media_uri": f"i{number}.mp4",
    } | changes


def interaction(number: int, **changes: Any) -> dict[str, Any]:
    return {
        "user_id": f"u{number % 10}",
        "item_id": f"i{number % 20}",
        "timestamp": AS_OF - timedelta(days=20, minutes=-number),
        "event": "view",
        "watch_ratio": (number % 11) / 10,
        "label": "positive" if number % 3 else "negative",
        "weight": 1.0,
    } | changes


def build(folder: Path, items: list[dict[str, Any]], interactions: list[dict[str, Any]],
          comments: list[dict[str, Any]] | None = None, **meta: Any) -> Dataset:  # fmt: skip
    write_table(folder, "items", pa.Table.from_pylist(items, schema=ITEMS.schema))
    write_table(folder, "interactions", pa.Table.from_pylist(interactions, schema=INTERACTIONS.schema))
    if comments is not None:
        write_table(folder, "comments", pa.Table.from_pylist(comments, schema=COMMENTS.schema))
    values = {"source": "test", "synthetic": True, "as_of": AS_OF.isoformat(), "has_time": True,
              "media_root": None, "key_fingerprint": "0" * 16} | meta  # fmt: skip
    write_meta(folder, DatasetMeta(**values))
    return Dataset(folder)


def media_rows(items: list[dict[str, Any]], **changes: Any) -> pa.Table:
    rows = [{"item_id": i["item_id"], "status": "ok", "has_video": True, "has_audio": True} | changes for i in items]
    return MEDIA.conform(pa.Table.from_pylist(rows, schema=MEDIA.schema))
