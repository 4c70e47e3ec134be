"""The semantic modality on disk: tables like those of any other modality, and the encoder beside them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from avrec.features.base import Extraction, Features, partition_of
from avrec.features.collect import PARTITIONS, FeatureWriter
from avrec.features.semantic import SemanticEncoder
from avrec.features.semantic_folder import ENCODER
from avrec.features.tokens import Segments, read_items
from avrec.schema import SEMANTIC

NONE_KNOWN = "no picture, sound or text that the encoder reads"


def write_semantic(out: Path, folders: Mapping[str, Path], item_ids: Sequence[str], encoder: SemanticEncoder
                   ) -> dict[str, Any]:  # fmt: skip
    """Encodes a catalogue and writes `features`, `segments` and `encoder` below `out`; equal inputs give equal bytes.

    Args:
        out: Folder of the modality.
        folders: Of the modalities that are read, as the feature stages write them.
        item_ids: The catalogue.
        encoder: One that has learned.

    Returns:
        Counts, and the hash of the encoder's weights.
    """
    encoded = encoder.encode(read_items(folders, item_ids))
    digest = encoder.save(out / ENCODER)
    writer = FeatureWriter(out, SEMANTIC, encoder.params.dim)
    rows: list[list[tuple[str, Extraction]]] = [[] for _ in range(PARTITIONS)]
    for number, item_id in enumerate(item_ids):
        vector = encoded.vectors[number] if encoded.present[number] else None
        rows[partition_of(item_id, PARTITIONS)].append((item_id, _extraction(vector, encoded.segments[number])))
    for number, members in enumerate(rows):
        writer.partition(number, members)
    return {"items": len(item_ids), "present": int(encoded.present.sum()), "dim": encoder.params.dim,
            "encoder": encoder.params.encoder, "reads": list(encoder.modalities), "sha256": digest}  # fmt: skip


def _extraction(vector: Any, moments: Segments) -> Extraction:
    reason = NONE_KNOWN if vector is None else None
    return Extraction(vector, moments.vectors, moments.starts, moments.ends, reason)


def encoded_features(encoder: Path, features: Path, item_ids: Sequence[str]) -> Features:
    """The semantic vectors of items that a saved encoder may never have met.

    Args:
        encoder: Folder that `SemanticEncoder.save` wrote.
        features: Folder with a folder for each modality, as the feature stages write them.
        item_ids: Items in the order wanted.

    Raises:
        DataError: no encoder, or a modality that it reads is not there.
    """
    reader = SemanticEncoder.load(encoder)
    encoded = reader.encode(read_items({name: features / name for name in reader.modalities}, item_ids))
    return Features(SEMANTIC, encoded.vectors, encoded.present)
