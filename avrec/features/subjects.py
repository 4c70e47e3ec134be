"""What is extracted: each item with the key of its content, or the reason why it has none."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field

import pyarrow as pa

from avrec.errors import MediaError
from avrec.features.hashing import HashCache
from avrec.params import FeaturesParams


@dataclass(frozen=True)
class Subject:
    """One item as an extractor meets it.

    Attributes:
        item_id: The item.
        key: Hash of its content, or None where there is nothing to extract.
        reason: Why there is no key.
        uri: Its media, for visual and audio.
        texts: Its texts by field, for text.
    """

    item_id: str
    key: str | None
    reason: str | None = None
    uri: str | None = None
    texts: dict[str, str] = field(default_factory=dict)


def subjects_of(items: pa.Table, modality: str, media_root: str | None, params: FeaturesParams) -> list[Subject]:
    """The subjects of `items` (`avrec.schema.ITEMS`) for one modality, in item order."""
    if modality == "text":
        return _texts(items, params.text.fields)
    return _media(items, media_root, params.limits.bytes)


def _media(items: pa.Table, media_root: str | None, limit: int) -> list[Subject]:
    columns = zip(*(items[name].to_pylist() for name in ("item_id", "media_uri", "media_sha256")), strict=True)
    cache: HashCache | None = None
    subjects = []
    for item_id, uri, digest in columns:
        if not uri:
            subjects.append(Subject(item_id, None, "no media"))
            continue
        try:
            if digest is None:
                cache = cache or HashCache()
                digest = cache.sha256(uri, media_root, limit)
            subjects.append(Subject(item_id, digest, uri=uri))
        except MediaError as error:
            subjects.append(Subject(item_id, None, error.reason, uri))
    if cache is not None:
        cache.close()
    return subjects


def _texts(items: pa.Table, fields: Sequence[str]) -> list[Subject]:
    columns = zip(items["item_id"].to_pylist(), *(items[name].to_pylist() for name in fields), strict=True)
    return [_text(item_id, fields, values) for item_id, *values in columns]


def _text(item_id: str, fields: Sequence[str], values: Sequence[str | list[str] | None]) -> Subject:
    joined = (", ".join(value) if isinstance(value, list) else value or "" for value in values)
    texts = {name: text.strip() for name, text in zip(fields, joined, strict=True) if text.strip()}
    if not texts:
        return Subject(item_id, None, "no text")
    key = hashlib.sha256(json.dumps(texts, sort_keys=True, ensure_ascii=False).encode()).hexdigest()
    return Subject(item_id, key, texts=texts)
