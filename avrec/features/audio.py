"""The sound of an item: a network and cepstral statistics over patches of one second."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from functools import cached_property
from importlib.metadata import version
from typing import Any, ClassVar

import numpy as np

from avrec.features import yamnet
from avrec.features.base import Extraction, Extractor, Vectors
from avrec.features.music import MusicListener
from avrec.features.tags import best_tags
from avrec.features.tensorflow import run_padded
from avrec.features.weights import MUSICNN, MUSICNN_DATA, YAMNET, YAMNET_NAMES
from avrec.media.decode import VERSION as DECODE_VERSION
from avrec.media.sample import RATE, Sample, SoundPlan, Wave
from avrec.params import AudioParams, LimitsParams

MFCC_SCALE = 0.02
"""Brings the cepstral statistics to the size of the network's outputs, so that neither drowns the other in a cosine."""


class AudioExtractor(Extractor):
    """YAMNet over patches of 0.975 s every 0.48 s, with MFCC statistics appended; sound tags as signals.

    With `music` the vector goes on with what a network of music makes of the moments that are music
    (`avrec.features.music`), and there are tags of music among the sound tags.
    """

    name: ClassVar[str] = "yamnet"
    modality: ClassVar[str] = "audio"
    version: ClassVar[int] = 1

    def __init__(self, params: AudioParams, limits: LimitsParams) -> None:
        self.params = params
        self.limits = limits
        self._music = MusicListener() if params.music == "musicnn" else None
        self.dim = yamnet.DIM + 4 * params.mfcc + (self._music.dim if self._music else 0)

    @property
    def plan(self) -> SoundPlan:
        """What this extractor wants of a file."""
        return SoundPlan(self.params.max_seconds)

    def settings(self) -> dict[str, Any]:
        return {
            # Without music and with weights as installed the identity is what it was before there was a choice: what is
            # stored stays good. Of other weights it is the hash that counts, wherever the file lies.
            "params": self.params.model_dump(
                exclude={"weights", "weights_sha256", *([] if self._music else ["music"])}
            ),
            "limits": self.limits.model_dump(),
            "decode": DECODE_VERSION,
            "weights": [
                *(w.sha256 for w in (YAMNET, YAMNET_NAMES, *([MUSICNN, MUSICNN_DATA] if self._music else []))),
                *filter(None, [self.params.weights_sha256]),
            ],
            "libraries": {name: version(name) for name in ("av", "tensorflow", "tensorflow-io")},
        }

    @cached_property
    def _network(self) -> Any:
        return yamnet.build_yamnet(self.params)

    @cached_property
    def _names(self) -> list[str]:
        return yamnet.audioset_names()

    def extract(self, inputs: Iterable[Sample]) -> Iterator[Extraction]:
        """One extraction a sample, in order; patches of many samples share batches."""
        waiting: deque[tuple[Sample, Vectors]] = deque()

        def patches() -> Iterator[Vectors]:
            for sample in inputs:
                cut, starts = cut_patches(sample.wave, sample.windows)
                waiting.append((sample, starts))
                if len(cut):
                    _ = self._network  # built while more is decoded, not when a batch is full
                yield cut

        for outputs in run_padded(lambda rows: self._network(rows), patches(), yamnet.BATCH):
            sample, starts = waiting.popleft()
            yield self._found(sample, starts, *outputs) if outputs else self._missing(sample)

    def _missing(self, sample: Sample) -> Extraction:
        return Extraction.missing(sample.missing.get("audio", "no sound"), self.dim)

    def _found(
        self, sample: Sample, starts: Vectors, embeddings: Vectors, scores: Vectors, cepstra: Vectors
    ) -> Extraction:
        vectors = np.concatenate([embeddings, MFCC_SCALE * cepstra], axis=1).astype(np.float32)
        signals: dict[str, Any] = {"sound_tags": best_tags(scores.mean(axis=0), self._names, least=0.1, most=5)}
        if self._music:
            heard, tags = self._music.listen(sample.wave, sample.windows, starts, scores[:, self._names.index("Music")])
            vectors = np.concatenate([vectors, heard], axis=1)
            signals["sound_tags"] += tags
        if "audio" in sample.damage:
            signals["damage"] = sample.damage["audio"]
        ends = (starts + yamnet.PATCH / RATE).astype(np.float32)
        return Extraction(vectors.mean(axis=0), *merge_pairs(vectors, starts, ends), signals=signals)


def cut_patches(wave: Wave, windows: Wave) -> tuple[Vectors, Vectors]:
    """Patches `[n, 15600]` of each window and their starts `[n]` in seconds; what is left at the end is padded."""
    patches, starts, offset = [np.zeros((0, yamnet.PATCH), np.float32)], [np.zeros(0, np.float32)], 0
    for start, length in windows:
        piece = wave[offset : offset + int(length)]
        offset += int(length)
        count = max(1, 1 + -(-(len(piece) - yamnet.PATCH) // yamnet.HOP))
        padded = np.zeros((count - 1) * yamnet.HOP + yamnet.PATCH, np.float32)
        padded[: len(piece)] = piece
        patches.append(np.lib.stride_tricks.sliding_window_view(padded, yamnet.PATCH)[:: yamnet.HOP])
        starts.append((start + np.arange(count) * yamnet.HOP / RATE).astype(np.float32))
    return (patches[1] if len(patches) == 2 else np.concatenate(patches)), np.concatenate(starts)


def merge_pairs(vectors: Vectors, starts: Vectors, ends: Vectors) -> tuple[Vectors, Vectors, Vectors]:
    """Segments of about a second and a half: the mean of two neighbouring patches, which overlap by half."""
    groups = [slice(i, i + 2) for i in range(0, len(vectors), 2)]
    merged = np.stack([vectors[group].mean(axis=0) for group in groups])
    return merged, starts[::2], np.array([ends[group][-1] for group in groups], np.float32)
