"""The table `signals`: what extraction found in every item, in words and figures people can read.

The extractors bring tags and look; this adds the description and the sentiment, which need all of them together.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from avrec.datasets.dataset import write_table
from avrec.features.base import Vectors
from avrec.features.caption import Evidence, describe, sure_pictures, sure_sounds
from avrec.features.faces import PERSON, SHARE
from avrec.features.labels import GROUPS, Labels, labels_of
from avrec.features.language import Writer
from avrec.features.sentiment import Sentiment, sentences, summary
from avrec.params import FeaturesParams
from avrec.schema import ITEMS, SEGMENTS, SIGNALS

SOURCES = ("visual", "audio", "speech")
"""Modalities whose extractors bring signals, in the order in which later ones win."""
BY_TEMPLATE, BY_MODEL = "template", "language_model"
MOST_COMMENTS = 200
"""Newest comments of an item that are read."""

Row = dict[str, Any]


def item_signals(
    items: pa.Table, found: Mapping[str, Path], params: FeaturesParams, opinions: pa.Table | None = None
) -> pa.Table:
    """The signals of every item, in item order.

    Args:
        items: Table `avrec.schema.ITEMS`.
        found: Folder of `visual`, `audio` and perhaps `speech`, as the feature stages write them.
        params: Section `features`.
        opinions: Table `avrec.features.opinions.OPINIONS`: what people wrote counts for the sentiment alone.
    """
    items = ITEMS.conform(items)
    rows: dict[str, Row] = {item_id: {"item_id": item_id} for item_id in items["item_id"].to_pylist()}
    for modality in SOURCES:
        for signals in _brought(found[modality]) if modality in found else ():
            rows.get(signals["item_id"], {}).update({k: v for k, v in signals.items() if v is not None})
    evidence = {item_id: _Moments() for item_id in rows}
    for modality in ("audio", "visual"):  # what is heard first: it may vouch for what is seen
        _hear_and_see(evidence, found[modality], modality, labels_of(modality, params))
    comments = _by_item(opinions)
    writer = Writer() if params.description.by == BY_MODEL else None
    judge = Sentiment()
    for item in items.to_pylist():
        row = rows[item["item_id"]]
        moments = evidence[item["item_id"]]
        if (row.get("faces") or 0.0) >= SHARE:
            moments.pictures = (PERSON, *moments.pictures)
        row["sure_visual_tags"] = list(moments.pictures)
        row["sure_sound_tags"] = [name for name, _ in moments.sounds]
        known = _evidence(item, row, moments)
        written = writer(known) if writer else None
        row["description"] = written or describe(known)
        row["description_by"] = BY_MODEL if written else BY_TEMPLATE
        row |= summary(judge.scores(_texts(item, row)) + comments.get(item["item_id"], []))
    return pa.Table.from_pylist(
        [{name: row.get(name) for name in SIGNALS.schema.names} for row in rows.values()], schema=SIGNALS.schema
    )


class _Moments:
    """What is sure of one item, before it becomes words."""

    pictures: tuple[str, ...] = ()
    sounds: tuple[tuple[str, float], ...] = ()
    end_s: float = 0.0
    seen: bool = False


def _brought(folder: Path) -> list[Row]:
    path = folder / "signals.parquet"
    return list(SIGNALS.conform(pq.read_table(path)).to_pylist()) if path.is_file() else []


def segments_of(folder: Path) -> Iterator[tuple[str, Vectors, Vectors, Vectors]]:
    """Item id, vectors `[n, dim]`, starts and ends `[n]` of every item below `folder/segments`, part by part."""
    for part in sorted((folder / "segments").glob("part-*.parquet")):
        table = SEGMENTS.conform(pq.read_table(part))
        if not table.num_rows:
            continue
        ids = np.array(table["item_id"].to_pylist())
        vectors = np.asarray(table["vector"].combine_chunks().flatten(), np.float32).reshape(len(ids), -1)
        starts, ends = (np.asarray(table[name], np.float32) for name in ("start_s", "end_s"))
        borders = [0, *(np.flatnonzero(ids[1:] != ids[:-1]) + 1), len(ids)]
        for a, b in pairwise(borders):
            yield str(ids[a]), vectors[a:b], starts[a:b], ends[a:b]


def _hear_and_see(evidence: Mapping[str, _Moments], folder: Path, modality: str, labels: Labels | None) -> None:
    for item_id, vectors, _, ends in segments_of(folder):
        moments = evidence.get(item_id)
        if moments is None:
            continue
        moments.end_s = max(moments.end_s, float(ends.max()))
        moments.seen |= modality == "visual"
        if labels is None:
            continue
        scores = labels.scores(vectors)
        if modality == "visual":
            moments.pictures = sure_pictures(scores, labels.names, GROUPS, (name for name, _ in moments.sounds))
        else:
            moments.sounds = sure_sounds(scores, labels.names)


def _evidence(item: Row, row: Row, moments: _Moments) -> Evidence:
    return Evidence(
        kind="video" if moments.seen else "recording" if moments.end_s else str(item["media_type"]),
        duration_s=item["duration_s"] or moments.end_s or None,
        pictures=moments.pictures,
        sounds=moments.sounds,
        look={name: row.get(name) for name in ("colourfulness", "brightness", "motion")},
        title=item["title"] or "",
        tags=tuple(item["tags"] or ()),
        transcript=row.get("transcript") or "",
    )


def _texts(item: Row, row: Row) -> list[str]:
    """What creators wrote and what is said; not the generated description, which has no opinion."""
    own = [item["title"] or "", *sentences(item["description"] or ""), *sentences(row.get("transcript") or "")]
    return [text for text in own if text.strip()]


def _by_item(opinions: pa.Table | None) -> dict[str, list[float]]:
    written: dict[str, list[float]] = defaultdict(list)
    if opinions is None or not opinions.num_rows:
        return written
    newest = opinions.take(pc.sort_indices(opinions, [("timestamp", "descending"), ("sentiment", "ascending")]))
    for item_id, score in zip(newest["item_id"].to_pylist(), newest["sentiment"].to_pylist(), strict=True):
        if len(written[item_id]) < MOST_COMMENTS:
            written[item_id].append(score)
    return written


def write_signals(folder: Path, table: pa.Table) -> Path:
    """Writes `folder/signals.parquet`; equal tables give equal bytes."""
    return write_table(folder, "signals", table)
