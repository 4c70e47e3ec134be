"""The look of an item: a network over sampled frames."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from functools import cached_property
from importlib.metadata import version
from typing import Any, ClassVar

import numpy as np

from avrec.features.base import Extraction, Extractor, Vectors
from avrec.features.faces import FaceFinder
from avrec.features.look import look_of, poster_of
from avrec.features.networks import picture_network
from avrec.features.tags import best_tags
from avrec.features.tensorflow import run_padded
from avrec.features.weights import FACES
from avrec.media.decode import VERSION as DECODE_VERSION
from avrec.media.sample import Frames, PicturePlan, Sample
from avrec.params import LimitsParams, VisualParams


class VisualExtractor(Extractor):
    """A network over frames: a segment a frame, their mean as the pooled vector, look and poster as signals.

    Networks that know names (`mobilenet`) add tags and safety.
    """

    name: ClassVar[str] = "frames"
    modality: ClassVar[str] = "visual"
    version: ClassVar[int] = 2

    def __init__(self, params: VisualParams, limits: LimitsParams) -> None:
        self.params = params
        self.limits = limits
        self._kind = picture_network(params)
        self._faces = FaceFinder() if params.faces else None
        self.dim = self._kind.dim

    @property
    def plan(self) -> PicturePlan:
        """What this extractor wants of a file."""
        return PicturePlan(self.params.frames, self._kind.size, self.params.sampling)

    def settings(self) -> dict[str, Any]:
        return {
            # Without faces the identity is what it was before one could look for them: what is stored stays good.
            "params": self.params.model_dump(exclude={"weights"} if self._faces else {"weights", "faces"}),
            "limits": self.limits.model_dump(),
            "decode": DECODE_VERSION,
            "weights": [*self._kind.weights, *[FACES.sha256] * (self._faces is not None)],
            "libraries": {name: version(name) for name in self._libraries()},
        }

    def _libraries(self) -> list[str]:
        shots, keras = self.params.sampling == "shots", self.params.network != "mobilenet"
        return ["av", "tensorflow", *["scenedetect-headless"] * shots, *["keras"] * keras]

    @cached_property
    def _network(self) -> Any:
        return self._kind.build()

    @cached_property
    def _names(self) -> list[str]:
        return self._kind.names() if self._kind.names else []

    def extract(self, inputs: Iterable[Sample]) -> Iterator[Extraction]:
        """One extraction a sample, in order; frames of many samples share batches."""
        samples: deque[Sample] = deque()

        def frames() -> Iterator[Frames]:
            for sample in inputs:
                samples.append(sample)
                if len(sample.frames):
                    _ = self._network  # built while more is decoded, not when a batch is full
                yield sample.frames

        for outputs in run_padded(lambda rows: self._network(rows), frames(), self._kind.batch):
            sample = samples.popleft()
            yield self._found(sample, *outputs) if outputs else self._missing(sample)

    def _missing(self, sample: Sample) -> Extraction:
        return Extraction.missing(sample.missing.get("visual", "no picture"), self.dim)

    def _found(self, sample: Sample, vectors: Vectors, *judged: Vectors) -> Extraction:
        signals: dict[str, Any] = {**self._words(*judged), **look_of(sample.frames)}
        signals["poster_s"] = float(sample.frame_times[poster_of(sample.frames)])
        if sample.cuts is not None and sample.probe.duration_s:
            signals["cut_rate"] = 60.0 * len(sample.cuts) / sample.probe.duration_s
        if self._faces:
            signals["faces"] = self._faces.share(sample)
        if "visual" in sample.damage:
            signals["damage"] = sample.damage["visual"]
        starts, ends = frame_spans(sample.frame_times, sample.probe.duration_s)
        return Extraction(vectors.mean(axis=0), vectors, starts, ends, signals=signals)

    def _words(self, scores: Vectors | None = None, unsafe: Vectors | None = None) -> dict[str, Any]:
        if scores is None or unsafe is None:
            return {}
        tags = best_tags(scores.mean(axis=0), self._names, least=0.08, most=5)
        return {"visual_tags": tags, "safety": float(unsafe.mean())}


def frame_spans(times: Vectors, duration: float | None) -> tuple[Vectors, Vectors]:
    """The span each frame stands for: half way to its neighbours, from 0 to the end of the file."""
    middles = (times[1:] + times[:-1]) / 2
    end = max(float(duration or 0.0), float(times[-1]))
    starts = np.concatenate([[0.0], middles]).astype(np.float32)
    return starts, np.concatenate([middles, [end]]).astype(np.float32)
