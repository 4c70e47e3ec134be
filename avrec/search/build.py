"""Building an index from a catalogue."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from avrec.features.base import Vectors
from avrec.features.encoder import Encoder, multilingual
from avrec.features.labels import labels_of
from avrec.features.sentiment import sentences
from avrec.features.signals import segments_of
from avrec.schema import SEMANTIC
from avrec.search.index import ITEM_COLUMNS, ChannelWriter, SearchIndex
from avrec.search.projection import fit_projection, unit
from avrec.search.sources import Source

MODALITIES = {"audio": ("heard", "sound"), "visual": ("seen", "picture")}
"""For each modality: the channel of its labels, and that of its moments among sentences."""
MOST_PAIRS_AN_ITEM = 8
NAMES = 20
"""Labels whose words stand for a moment."""

Pairs = tuple[list[Vectors], list[Vectors]]


def build_index(source: Source, encoder: Encoder | None = None) -> SearchIndex:
    """Reads vectors and words of every item, learns the projections, and puts all into one index.

    Labels, words and projections are all there is: no file is opened, and nothing but the catalogue is learned from.
    """
    encoder = encoder or multilingual()
    writers: dict[str, ChannelWriter] = defaultdict(ChannelWriter)
    rows = _rows(source)
    index = {row["item_id"]: number for number, row in enumerate(rows)}
    own = _add_words(rows, encoder, writers["words"])
    names: dict[str, tuple[str, ...]] = {}
    label_words: dict[str, Vectors] = {}
    learned: dict[str, int] = {}
    for modality, (labelled, projected) in MODALITIES.items():
        labels = labels_of(modality, source.params)
        if labels is not None:
            names[labelled] = labels.names
            # Always the same names in the same order: encoded together they are the same each time.
            label_words[labelled] = encoder.encode_together([_plain(name) for name in labels.names])
        pairs: Pairs = ([], [])
        for item_id, vectors, starts, ends in segments_of(source.features[modality]):
            if item_id not in index:
                continue
            item = index[item_id]
            writers[modality].add_with_mean(item, starts, ends, unit(vectors))
            if labels is not None:
                scores = labels.scores(vectors)
                writers[labelled].add_with_mean(item, starts, ends, scores)
                _add_pairs(pairs, vectors, scores, label_words[labelled], own.get(item))
            elif item in own:
                _add_pairs(pairs, vectors, None, None, own[item])
        learned[projected] = _project(source.features[modality], index, pairs, writers[projected])
    _add_moments(source.features.get("speech"), index, writers["said"])
    _add_moments(source.features.get(SEMANTIC), index, writers[SEMANTIC], with_mean=True)
    channels = {name: writer.close() for name, writer in sorted(writers.items()) if writer}
    info = {"items": len(rows), "pairs": learned, "features": source.params.model_dump(mode="json")}
    return SearchIndex(_item_table(rows), channels, names, label_words, info)


def _rows(source: Source) -> list[dict[str, Any]]:
    """Items and signals side by side; the creator's description keeps its name, the generated one is `generated`."""
    signals, ends = source.signals.to_pylist(), _ends(source)
    return [
        {
            **signal,
            **item,
            "generated": signal["description"],
            "duration_s": item["duration_s"] or ends.get(item["item_id"]),
        }
        for item, signal in zip(source.items.to_pylist(), signals, strict=True)
    ]


def _ends(source: Source) -> dict[str, float]:
    """Where the last moment of each item ends: its length where nobody said it."""
    ends: dict[str, float] = {}
    for modality in MODALITIES:
        for item_id, _, _, until in segments_of(source.features[modality]):
            ends[item_id] = max(ends.get(item_id, 0.0), float(until.max()))
    return ends


def _add_words(rows: list[dict[str, Any]], encoder: Encoder, writer: ChannelWriter) -> dict[int, Vectors]:
    """Adds each text of each item; the mean direction of what its creator wrote, where there is something."""
    own: dict[int, Vectors] = {}
    for number, row in enumerate(rows):
        by_creator = [row["title"], row["description"], ", ".join(row["tags"] or ())]
        # Not the generated description: it says in a sentence what the labels say without one.
        texts = [text for text in (*by_creator, *sentences(row["transcript"] or "")) if text and text.strip()]
        if not texts:
            continue
        vectors = encoder.encode(texts)
        ends = np.full(len(texts), row["duration_s"] or 0.0, np.float32)
        writer.add(number, np.zeros(len(texts), np.float32), ends, vectors, whole=True)
        written = sum(1 for text in by_creator if text and text.strip())
        if written:
            own[number] = unit(vectors[:written].mean(axis=0))
    return own


def _add_pairs(
    pairs: Pairs, vectors: Vectors, scores: Vectors | None, words: Vectors | None, own: Vectors | None
) -> None:
    """Moments of an item and their words: the names of what is in them, and what the creator wrote."""
    step = max(1, len(vectors) // MOST_PAIRS_AN_ITEM)
    moments = vectors[::step][:MOST_PAIRS_AN_ITEM]
    targets = np.zeros((len(moments), 0 if own is None and words is None else 512), np.float32)
    if scores is not None and words is not None:
        targets = unit(_best(scores[::step][:MOST_PAIRS_AN_ITEM]) @ words)
    if own is not None:
        targets = unit(targets + own) if targets.shape[1] else np.tile(own, (len(moments), 1))
    pairs[0].append(moments)
    pairs[1].append(targets)


def _best(scores: Vectors) -> Vectors:
    """Scores with all but the best few of each row left out."""
    least = np.partition(scores, -NAMES, axis=1)[:, [-NAMES]]
    return np.where(scores >= least, scores, 0.0).astype(np.float32)


def _project(folder: Path, index: dict[str, int], pairs: Pairs, writer: ChannelWriter) -> int:
    """Learns the map of one modality and adds its moments; the number of pairs."""
    if not pairs[0]:
        return 0
    moments, words = np.concatenate(pairs[0]), np.concatenate(pairs[1])
    projection = fit_projection(moments, words)
    if projection is None:
        return 0
    for item_id, vectors, starts, ends in segments_of(folder):
        if item_id in index:
            writer.add_with_mean(index[item_id], starts, ends, projection(vectors))
    return len(moments)


def _add_moments(folder: Path | None, index: dict[str, int], writer: ChannelWriter, with_mean: bool = False) -> None:
    """Moments that are in a space of their own already."""
    if folder is None:
        return
    for item_id, vectors, starts, ends in segments_of(folder):
        if item_id in index:
            (writer.add_with_mean if with_mean else writer.add)(index[item_id], starts, ends, unit(vectors))


def _item_table(rows: list[dict[str, Any]]) -> pa.Table:
    shown = [
        {
            "item_id": row["item_id"],
            "title": row["title"],
            "media_type": row["media_type"],
            "description": row["generated"],
            "heard": row["sure_sound_tags"] or [],
            "duration_s": row["duration_s"],
            "motion": row["motion"],
        }
        for row in rows
    ]
    return pa.Table.from_pylist(shown, schema=ITEM_COLUMNS)


def _plain(name: str) -> str:
    return name.replace("_", " ")
