"""A catalogue whose vectors are made so that a network's last layer hears and sees what the test says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from avrec.features.base import Extraction, partition_of
from avrec.features.collect import FeatureWriter, partitions
from avrec.features.labels import _classifier, sound_labels
from avrec.features.mobilenet import imagenet_names
from avrec.features.signals import item_signals
from avrec.features.subjects import Subject
from avrec.features.tables import folders_of
from avrec.features.yamnet import read_yamnet
from avrec.params import FeaturesParams
from avrec.schema import ITEMS
from avrec.search.build import build_index
from avrec.search.index import SearchIndex
from avrec.search.sources import Source

SOUNDS: Mapping[str, Sequence[Sequence[str]]] = {
    # item: what is heard in each moment of two seconds
    "dog": (["Silence"], ["Dog", "Bark"], ["Dog", "Bark"]),
    "rain": (["Rain"], ["Rain"], ["Rain"]),
    "dog-in-rain": (["Rain"], ["Rain", "Dog", "Bark"], ["Rain", "Dog", "Bark"]),
    "song": (["Music", "Singing"], ["Music", "Singing"], ["Music"]),
    "piano": (["Music", "Piano"], ["Music", "Piano"], ["Music", "Piano"]),
    "talk": (["Speech"], ["Speech"], ["Speech"]),
}
PICTURES: Mapping[str, Sequence[str]] = {
    "dog": ("Golden Retriever", "Golden Retriever"),
    "rain": ("umbrella", "umbrella"),
    "piano": ("grand piano", "grand piano"),
}
TITLES = {"talk": "The history of trains", "song": "Summer night", "rain": "雨夜"}


def heard(names: Sequence[str], noise: np.random.Generator) -> np.ndarray:
    """A vector for which exactly these labels are likely."""
    weights, labels = read_yamnet(), sound_labels().names
    wanted = np.full(len(labels), -6.0)
    wanted[[labels.index(name) for name in names]] = 4.0
    return backwards("sound", weights["classifier"], wanted - weights["bias"], noise)


def seen(name: str, noise: np.random.Generator) -> np.ndarray:
    """A vector for which this label is likely."""
    kernel, bias = _classifier()
    wanted = np.zeros(len(bias))
    wanted[1 + imagenet_names().index(name)] = 14.0
    return backwards("picture", kernel, wanted - bias, noise)


_inverses: dict[str, np.ndarray] = {}


def backwards(name: str, kernel: np.ndarray, logits: np.ndarray, noise: np.random.Generator) -> np.ndarray:
    """The smallest vector that a last layer `[dim, classes]` maps to these logits, nearly."""
    wide = kernel.astype(np.float64)
    if name not in _inverses:
        _inverses[name] = np.linalg.inv(wide.T @ wide + 1e-3 * np.eye(wide.shape[1]))
    vector = wide @ (_inverses[name] @ logits)
    return (vector + noise.normal(0, 1e-4, len(vector))).astype(np.float32)


def write_features(folder: Path, modality: str, found: Mapping[str, np.ndarray], seconds: float, ids: Sequence[str],
                   **signals: Any) -> None:  # fmt: skip
    dim = next(iter(found.values())).shape[1]
    writer = FeatureWriter(folder / modality, modality, dim)
    for number, members in enumerate(partitions([Subject(item_id, None) for item_id in ids])):
        rows = []
        for subject in members:
            if subject.item_id not in found:
                rows.append((subject.item_id, Extraction.missing("none", dim)))
                continue
            vectors = found[subject.item_id]
            starts = np.arange(len(vectors), dtype=np.float32) * np.float32(seconds)
            extraction = Extraction(
                vectors.mean(axis=0), vectors, starts, starts + np.float32(seconds), signals=signals
            )
            assert partition_of(subject.item_id) == number
            rows.append((subject.item_id, extraction))
        writer.partition(number, rows)
    writer.close(list(ids))


@pytest.fixture(scope="session")
def source(tmp_path_factory: pytest.TempPathFactory) -> Source:
    folder = tmp_path_factory.mktemp("catalogue")
    rng = np.random.default_rng(5)
    ids = list(SOUNDS)
    sounds = {item: np.stack([heard(names, rng) for names in moments]) for item, moments in SOUNDS.items()}
    pictures = {item: np.stack([seen(name, rng) for name in names]) for item, names in PICTURES.items()}
    write_features(folder, "audio", sounds, 2.0, ids)
    write_features(folder, "visual", pictures, 3.0, ids, motion=0.05)
    rows = [
        {"item_id": i, "media_type": "music" if i in ("song", "piano") else "video", "title": TITLES.get(i)}
        for i in ids
    ]
    items = pa.Table.from_pylist(rows, schema=ITEMS.schema)
    params = FeaturesParams()
    folders = folders_of(folder)
    return Source(items, item_signals(items, folders, params), folders, params)


@pytest.fixture(scope="session")
def index(source: Source) -> SearchIndex:
    return build_index(source)
