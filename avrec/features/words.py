"""Words that come from an item's media: its transcript and its generated description, for the text vectors."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pyarrow as pa

from avrec.params import FeaturesParams

COLUMNS = {"transcript": "transcript", "generated": "description"}
"""Field of `features.text.fields`, and its column of `avrec.schema.SIGNALS`."""


def with_found_words(items: pa.Table, media_root: str | None, params: FeaturesParams, progress: bool) -> pa.Table:
    """`items` with a column for each field of `params.text` that comes from the media; as it is where none does.

    What the store lacks of the media is extracted on the way, in one pass; what it holds is read.
    """
    wanted = [name for name in params.text.fields if name in COLUMNS and name not in items.column_names]
    if not wanted:
        return items
    from avrec.features.collect import collect
    from avrec.features.extract import fill_store
    from avrec.features.signals import item_signals

    modalities = ["visual", "audio", *(["speech"] if params.speech.enabled else [])]
    fill_store(items, media_root, params, modalities, progress=progress)
    with tempfile.TemporaryDirectory(prefix="avrec-words-") as name:
        folders = {modality: Path(name) / modality for modality in modalities}
        for modality, folder in folders.items():
            collect(items, media_root, params, modality, folder, progress)
        signals = item_signals(items, folders, params)
    for field in wanted:
        items = items.append_column(field, signals[COLUMNS[field]])
    return items
