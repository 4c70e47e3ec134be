"""Filling the store: each file is opened once, for every modality that lacks it, while the networks run."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field

import pyarrow as pa

from avrec.features.audio import AudioExtractor
from avrec.features.base import Extraction, Extractor
from avrec.features.lane import Lane
from avrec.features.progress import Progress
from avrec.features.registry import build_extractor
from avrec.features.speech import SpeechExtractor
from avrec.features.store import FeatureStore
from avrec.features.subjects import Subject, subjects_of
from avrec.features.visual import VisualExtractor
from avrec.features.words import with_found_words
from avrec.media.pool import decode_many
from avrec.media.sample import Request
from avrec.params import FeaturesParams, LimitsParams
from avrec.settings import settings

ROWS_PER_SHARD = 128
"""Extractions written together: what a kill can cost."""


@dataclass
class FillReport:
    """What a call of `fill_store` did: by modality what was known, made, and of that failed; seconds by item."""

    known: dict[str, int] = field(default_factory=dict)
    made: dict[str, int] = field(default_factory=dict)
    failed: dict[str, int] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)


def fill_store(
    items: pa.Table,
    media_root: str | None,
    params: FeaturesParams,
    modalities: Sequence[str],
    *,
    store: FeatureStore | None = None,
    workers: int | None = None,
    retry: bool = False,
    progress: bool = True,
) -> FillReport:
    """Extracts what the store lacks of `items`.

    Args:
        items: Rows of `avrec.schema.ITEMS`.
        media_root: Folder or fsspec URL that `media_uri` is below.
        params: Section `features` of the params.
        modalities: Some of visual, audio, speech and text. Those over media share one pass over each file.
        store: The store; by default the one of the settings.
        workers: Decoding processes; by default one a core.
        retry: Try again what failed before.
        progress: Say on stderr how far it is.
    """
    store = store or FeatureStore(settings().feature_store)
    report = FillReport()
    if "text" in modalities:
        items = with_found_words(items, media_root, params, progress)
    jobs = [_Job(modality, items, media_root, params, store, retry, report) for modality in modalities]
    for job in jobs:
        if job.modality == "text":
            _fill_texts(job)
    _fill_media([job for job in jobs if job.modality != "text"], media_root, params.limits, workers, progress)
    for job in jobs:
        job.flush()
        if report.made[job.modality]:
            store.compact(job.extractor)
    return report


class _Job:
    """One modality: its extractor, what is missing, and what was found and not yet written."""

    def __init__(
        self, modality: str, items: pa.Table, media_root: str | None, params: FeaturesParams, store: FeatureStore,
        retry: bool, report: FillReport,
    ) -> None:  # fmt: skip
        self.modality = modality
        self.extractor: Extractor = build_extractor(modality, params)
        self._store = store
        self._report = report
        self._rows: list[tuple[str, Extraction]] = []
        subjects: dict[str, Subject] = {}
        for subject in subjects_of(items, modality, media_root, params):
            if subject.key:
                subjects.setdefault(subject.key, subject)
        self.missing = {key: subjects[key] for key in store.missing(self.extractor, subjects, retry)}
        report.known[modality] = len(subjects) - len(self.missing)
        report.made[modality] = report.failed[modality] = 0

    def add(self, key: str, extraction: Extraction) -> None:
        self._rows.append((key, extraction))
        self._report.made[self.modality] += 1
        self._report.failed[self.modality] += extraction.reason is not None
        if len(self._rows) >= ROWS_PER_SHARD:
            self.flush()

    def timed(self, key: str, seconds: float) -> None:
        self._report.seconds[self.missing[key].item_id] = seconds

    def flush(self) -> None:
        self._store.write(self.extractor, self._rows)
        self._rows = []


def _fill_texts(job: _Job) -> None:
    for key, subject in job.missing.items():
        for extraction in job.extractor.extract([subject.texts]):
            job.add(key, extraction)


def _fill_media(
    jobs: Sequence[_Job], media_root: str | None, limits: LimitsParams, workers: int | None, progress: bool
) -> None:
    keys = list(dict.fromkeys(key for job in jobs for key in job.missing))
    if not keys:
        return
    requests = [_request(key, jobs, media_root) for key in keys]
    meter = Progress(" + ".join(job.modality for job in jobs), len(keys), progress)
    with ExitStack() as stack:
        lanes = [stack.enter_context(Lane(job.extractor, job.add)) for job in jobs]
        for decoded in decode_many(requests, limits, min(workers or os.cpu_count() or 1, len(keys))):
            key = keys[decoded.index]
            for job, lane in zip(jobs, lanes, strict=True):
                if key in job.missing:
                    job.timed(key, decoded.seconds)
                    lane.put(key, decoded.answer)
            meter.advance(1)


def _request(key: str, jobs: Sequence[_Job], media_root: str | None) -> Request:
    """One opening of a file for all the modalities that lack it."""
    pictures = sound = uri = None
    for job in jobs:
        if key not in job.missing:
            continue
        uri = job.missing[key].uri
        if isinstance(job.extractor, VisualExtractor):
            pictures = job.extractor.plan
        elif isinstance(job.extractor, (AudioExtractor, SpeechExtractor)):
            sound = job.extractor.plan  # the same for both: what else is extracted changes no vector
    assert uri is not None
    return Request(uri, media_root, pictures, sound)
