"""The source `demo`: renders, simulates, spoils a little, and writes the tables."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from avrec.datasets.base import Source
from avrec.datasets.dataset import Dataset, DatasetMeta, write_meta, write_table
from avrec.datasets.demo import behaviour, dirt
from avrec.datasets.demo.catalogue import Catalogue, Reals, make_catalogue, words
from avrec.datasets.demo.render import clips_of, render_all
from avrec.datasets.demo.taste import Taste, make_taste
from avrec.datasets.demo.words import CATEGORIES
from avrec.params import DatasetParams
from avrec.privacy.pseudonyms import DEMO_KEY, Pseudonyms
from avrec.schema import TABLES

Row = dict[str, Any]

DEFAULT_AS_OF = datetime(2026, 3, 1, tzinfo=UTC)
COUNTRIES = ("DE", "US", "CN", "BR", "IN")


class DemoSource(Source):
    """Renders the demo set from `params.demo.seed`; takes no path."""

    name = "demo"

    def load(self, params: DatasetParams, folder: Path, media: Path) -> Dataset:
        """Writes tables to `folder` and media to `media`; equal parameters give equal bytes on one machine."""
        return make_demo(params, folder, media)


def make_demo(params: DatasetParams, folder: Path, media: Path, workers: int | None = None) -> Dataset:
    """Renders and writes the demo set; both folders must be empty or absent.

    Args:
        params: Section `dataset`; `demo` gives sizes and seed, `as_of` the end of the period.
        folder: For tables and `dataset.json`.
        media: For media files.
        workers: Rendering processes, default one a core; does not change a byte.
    """
    demo = params.demo
    end = params.as_of or DEFAULT_AS_OF
    start = end - timedelta(days=demo.days)
    catalogue = make_catalogue(demo.items, demo.days, demo.seed)
    hashes = render_all(clips_of(catalogue, media), workers)
    items = _items(catalogue, demo.seed, start, hashes)
    dirt.damage_files(media, [row["media_uri"] for row in items], demo.seed)
    _rehash(items, media)

    taste = make_taste(catalogue, demo.users, demo.seed)
    log, joined = behaviour.Simulation(catalogue, taste, demo.days, demo.seed).run(demo.interactions_per_user)
    names = Pseudonyms(DEMO_KEY)
    users = [names.of(f"demo-user-{index}") for index in range(demo.users)]

    _write(folder, "items", items + dirt.wrong_items(items))
    _write(folder, "users", _users(taste, users, joined, start, demo.seed))
    happened = [row for row in log.interactions if row["at"] < demo.days * behaviour.DAY]
    wrong = dirt.wrong_interactions(happened, demo.days, demo.seed)
    _write(folder, "interactions", _events(sorted(happened + wrong, key=_when), users, catalogue, start))
    for name, rows in (("impressions", log.impressions), ("comments", log.comments)):
        kept = [row for row in rows if row["at"] < demo.days * behaviour.DAY]
        _write(folder, name, _events(sorted(kept, key=_when), users, catalogue, start))
    _write(folder, "quarantine", _unreadable(demo.seed, users[0]), file="rejected")
    write_meta(folder, DatasetMeta(
        source="demo", synthetic=True, as_of=end.isoformat(), has_time=True, media_root="data/media",
        key_fingerprint=names.fingerprint,
    ))  # fmt: skip
    return Dataset(folder)


def _when(row: Row) -> float:
    return float(row["at"])


def _items(catalogue: Catalogue, seed: int, start: datetime, hashes: list[str]) -> list[Row]:
    texts = words(catalogue, seed)
    return [
        {
            "item_id": catalogue.item_id(i),
            "media_type": ("music" if catalogue.sound[i] < 3 else "podcast") if catalogue.sound_only[i] else "video",
            **texts[i],
            "category": CATEGORIES[catalogue.topic[i]],
            "creator_id": f"creator-{catalogue.creator[i]:02d}",
            "published_at": start + timedelta(seconds=round(catalogue.published[i] * behaviour.DAY)),
            "updated_at": start + timedelta(seconds=round(catalogue.published[i] * behaviour.DAY)),
            "duration_s": float(catalogue.duration[i]),
            "media_uri": catalogue.media_uri(i),
            "media_sha256": hashes[i],
        }
        for i in range(len(catalogue))
    ]


def _rehash(items: list[Row], media: Path) -> None:
    """Hashes of what is there now that a few files were damaged."""
    from avrec.datasets.hashing import sha256_of

    for row in items:
        path = media / row["media_uri"]
        row["media_sha256"] = sha256_of(path) if path.is_file() else None


def _users(taste: Taste, users: list[str], joined: Reals, start: datetime, seed: int) -> list[Row]:
    rng = np.random.default_rng([seed, 7])
    return [
        {
            "user_id": user,
            "segment": f"community-{taste.community[i]}",
            "language": "zh" if rng.random() < 0.15 else "en",
            "country": COUNTRIES[int(rng.integers(len(COUNTRIES)))],
            "joined_at": start + timedelta(seconds=round(float(joined[i]) * behaviour.DAY)),
        }
        for i, user in enumerate(users)
    ]


def _events(rows: list[Row], users: list[str], catalogue: Catalogue, start: datetime) -> list[Row]:
    """Rows of the simulation with ids and instants instead of numbers; item -1 is one that does not exist."""
    return [
        {
            **{key: value for key, value in row.items() if key not in ("user", "item", "at")},
            "user_id": users[row["user"]],
            "item_id": catalogue.item_id(row["item"]) if row["item"] >= 0 else "demo-nowhere",
            "timestamp": start + timedelta(seconds=round(row["at"])),
        }
        for row in rows
    ]


def _unreadable(seed: int, user: str) -> list[Row]:
    return [
        {
            "table": "interactions",
            "row": row,
            "item_id": values["item_id"] or None,
            "reason": values.pop("reason"),
            "content": json.dumps({"user_id": user, **values}, sort_keys=True),
        }
        for row, values in enumerate(dirt.unreadable_interactions(seed))
    ]


def _write(folder: Path, name: str, rows: list[Row], file: str | None = None) -> None:
    """Writes rows under their spec; columns that no row names are empty."""
    spec = TABLES[name]
    table = pa.table({field.name: pa.array([row.get(field.name) for row in rows], field.type) for field in spec.schema})
    write_table(folder, name, table)
    if file:
        (folder / f"{name}.parquet").rename(folder / f"{file}.parquet")
