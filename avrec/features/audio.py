"""The sound of an item: a network and cepstral statistics over patches of one second."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cached_property
from importlib.metadata import version
from typing import Any, ClassVar

import numpy as np

from avrec.features import yamnet
from avrec.features.base import Extraction, Extractor, Vectors
from avrec.features.tags import best_tags
from avrec.features.tensorflow import run_padded
from avrec.features.weights import YAMNET, YAMNET_NAMES
from avrec.media.decode import VERSION as DECODE_VERSION
from avrec.media.sample import RATE, Sample, SoundPlan, Wave
from avrec.params import AudioParams, LimitsParams

MFCC_SCALE = 0.02
"""Brings the cepstral statistics to the size of the network's outputs, so that neither drowns the other in a cosine."""


class AudioExtractor(Extractor):
    """YAMNet over patches of 0.975 s every 0.48 s, with MFCC statistics appended; sound tags as signals."""

    name: ClassVar[str] = "yamnet"
    modality: ClassVar[str] = "audio"
    version: ClassVar[int] = 1

    def __init__(self, params: AudioParams, limits: LimitsParams) -> None:
        self.params = params
        self.limits = limits
        self.dim = yamnet.DIM + 4 * params.mfcc

    @property
    def plan(self) -> SoundPlan:
        """What this extractor wants of a file."""
        return SoundPlan(self.params.max_seconds)

    def settings(self) -> dict[str, Any]:
        return {
            "params": self.params.model_dump(),
            "limits": self.limits.model_dump(),
            "decode": DECODE_VERSION,
            "weights": [YAMNET.sha256, YAMNET_NAMES.sha256],
            "libraries": {name: version(name) for name in ("av", "tensorflow", "tensorflow-io")},
        }

    @cached_property
    def _network(self) -> Any:
        return yamnet.build_yamnet(self.params.mfcc)

    @cached_property
    def _names(self) -> list[str]:
        return yamnet.audioset_names()

    def extract(self, inputs: Sequence[Sample]) -> Iterable[Extraction]:
        """One extraction a sample, in order; patches of many samples share batches."""
        cut = [cut_patches(sample.wave, sample.windows) for sample in inputs]
        counts = [len(patches) for patches, _ in cut]
        if not any(counts):
            return [self._missing(sample) for sample in inputs]
        outputs = run_padded(self._network, np.concatenate([patches for patches, _ in cut]), yamnet.BATCH)
        ends = np.cumsum(counts)
        return [
            self._found(sample, starts, *(out[end - n : end] for out in outputs)) if n else self._missing(sample)
            for sample, (_, starts), n, end in zip(inputs, cut, counts, ends, strict=True)
        ]

    def _missing(self, sample: Sample) -> Extraction:
        return Extraction.missing(sample.missing.get("audio", "no sound"), self.dim)

    def _found(
        self, sample: Sample, starts: Vectors, embeddings: Vectors, scores: Vectors, cepstra: Vectors
    ) -> Extraction:
        vectors = np.concatenate([embeddings, MFCC_SCALE * cepstra], axis=1).astype(np.float32)
        signals: dict[str, Any] = {"sound_tags": best_tags(scores.mean(axis=0), self._names, least=0.1, most=5)}
        if "audio" in sample.damage:
            signals["damage"] = sample.damage["audio"]
        ends = (starts + yamnet.PATCH / RATE).astype(np.float32)
        return Extraction(vectors.mean(axis=0), *merge_pairs(vectors, starts, ends), signals=signals)


def cut_patches(wave: Wave, windows: Wave) -> tuple[Vectors, Vectors]:
    """Patches `[n, 15600]` of each window and their starts `[n]` in seconds; what is left at the end is padded."""
    patches, starts, offset = [], [], 0
    for start, length in windows:
        piece = wave[offset : offset + int(length)]
        offset += int(length)
        count = max(1, 1 + -(-(len(piece) - yamnet.PATCH) // yamnet.HOP))
        padded = np.zeros((count - 1) * yamnet.HOP + yamnet.PATCH, np.float32)
        padded[: len(piece)] = piece
        for i in range(count):
            patches.append(padded[i * yamnet.HOP : i * yamnet.HOP + yamnet.PATCH])
            starts.append(start + i * yamnet.HOP / RATE)
    if not patches:
        return np.zeros((0, yamnet.PATCH), np.float32), np.zeros(0, np.float32)
    return np.stack(patches), np.array(starts, np.float32)


def merge_pairs(vectors: Vectors, starts: Vectors, ends: Vectors) -> tuple[Vectors, Vectors, Vectors]:
    """Segments of about a second and a half: the mean of two neighbouring patches, which overlap by half."""
    groups = [slice(i, i + 2) for i in range(0, len(vectors), 2)]
    merged = np.stack([vectors[group].mean(axis=0) for group in groups])
    return merged, starts[::2], np.array([ends[group][-1] for group in groups], np.float32)
