"""What an item is about, read from the sequence of all its segments: one vector an item, and one a segment."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from avrec.errors import DataError
from avrec.features import tensorflow
from avrec.features.base import Mask, Vectors
from avrec.features.semantic_folder import INFO, WEIGHTS
from avrec.features.tokens import Basis, Item, Segments, Tokens, unit
from avrec.params import SemanticParams

FORMAT = 1
CENTRE, AXES, WEIGHT = "centre_", "axes_", "weight_"


@dataclass(frozen=True)
class Encoded:
    """What the encoder says of some items.

    Attributes:
        vectors: `[n, dim]` of unit length; zero where not present.
        present: Items that had a segment of any modality it knows `[n]`.
        segments: Of each item, its moments in time order: vectors `[m, dim]` of unit length, starts and ends.
    """

    vectors: Vectors
    present: Mask
    segments: list[Segments]


class SemanticEncoder:
    """A sequence network and the basis of its tokens.

    It learns from the content of some items and from nothing else, and encodes any item, also one it never met: alone
    or in any company an item's vectors are the same bits.

    Example:
        ```python
        items = read_items({"visual": Path("data/features/visual"), "audio": Path("data/features/audio")}, ids)
        encoder = SemanticEncoder.fit(items, np.ones(len(items), bool), SemanticParams(encoder="transformer"))
        encoder.save(Path("encoder"))
        SemanticEncoder.load(Path("encoder")).encode(items[:1]).vectors
        ```
    """

    def __init__(self, params: SemanticParams, basis: Basis, network: Any) -> None:
        self.params, self.basis, self._network = params, basis, network

    @classmethod
    def fit(cls, items: Sequence[Item], learn: Mask, params: SemanticParams, told: Any = None) -> SemanticEncoder:
        """Learns from the items under `learn` `[n]`; equal arguments give equal weights.

        Args:
            items: Of the catalogue.
            learn: Which of them to learn from, the statistics of the segments included.
            params: `encoder` names the network; the rest says how.
            told: Called with number and mean loss of each epoch.

        Raises:
            ValueError: `params.encoder` is `none`, or fewer than two items have a segment.
        """
        if params.encoder == "none":
            raise ValueError("params.encoder: expected transformer, gru or lstm, got none.")
        some = learn & np.array([any(len(found.vectors) for found in item.values()) for item in items], bool)
        if some.sum() < 2:
            raise ValueError(f"learn: expected at least two items with segments, got {int(some.sum())}.")
        tensorflow.load()
        from avrec.features.sequence_training import train

        basis = Basis.fit(items, some)
        tokens = basis.tokens([item for item, use in zip(items, some, strict=True) if use]).trimmed()
        return cls(params, basis, train(tokens, params, len(basis.modalities), told))

    @property
    def modalities(self) -> tuple[str, ...]:
        """Those it reads."""
        return self.basis.modalities

    def encode(self, items: Sequence[Item]) -> Encoded:
        """Vectors of items and of their segments. Modalities it does not know are passed over."""
        tokens = self.basis.tokens(items)
        present = tokens.present
        vectors = np.zeros((len(items), self.params.dim), np.float32)
        segments: list[Segments] = []
        for row, (states, pooled) in enumerate(self._read(tokens)):
            there = tokens.kind[row] > 0
            vectors[row] = unit(pooled) if present[row] else 0.0
            segments.append(Segments(unit(states[there]), tokens.starts[row][there], tokens.ends[row][there]))
        return Encoded(vectors, present, segments)

    def _read(self, tokens: Tokens) -> Iterator[tuple[Vectors, Vectors]]:
        """States and pooled vector of one item after the other: in one shape, so that no bit depends on company."""
        tf = tensorflow.load()
        for row in range(len(tokens)):
            one = (values[row : row + 1] for values in (tokens.vectors, tokens.kind, tokens.when))
            states, pooled = self._compiled(*(tf.constant(values) for values in one))
            yield states.numpy()[0], pooled.numpy()[0]

    @cached_property
    def _compiled(self) -> Any:
        nothing = np.zeros((1, self.basis.length), bool)
        return tensorflow.load().function(lambda *inputs: self._network(*inputs, nothing))

    def save(self, folder: Path) -> str:
        """Writes the folder, without pickle; equal encoders give equal bytes. Returns the hash of the weights."""
        folder.mkdir(parents=True, exist_ok=True)
        arrays = {f"{WEIGHT}{n:03d}": value for n, value in enumerate(self._network.get_weights())}
        arrays |= {CENTRE + name: value for name, value in self.basis.centres.items()}
        arrays |= {AXES + name: value for name, value in self.basis.axes.items()}
        buffer = io.BytesIO()
        np.savez(buffer, **arrays)
        digest = hashlib.sha256(buffer.getvalue()).hexdigest()
        (folder / WEIGHTS).write_bytes(buffer.getvalue())
        said = {"format": FORMAT, "params": self.params.model_dump(mode="json"), "modalities": list(self.modalities),
                "sha256": digest}  # fmt: skip
        (folder / INFO).write_text(json.dumps(said, indent=2, sort_keys=True) + "\n", encoding="utf-8")
        return digest

    @classmethod
    def load(cls, folder: Path) -> SemanticEncoder:
        """Reads what `save` wrote.

        Raises:
            DataError: it is no encoder, or the weights are not those that were saved.
        """
        try:
            said = json.loads((folder / INFO).read_text(encoding="utf-8"))
            data = (folder / WEIGHTS).read_bytes()
        except (OSError, ValueError) as error:
            raise DataError(f"{folder} is no semantic encoder ({error}); run `dvc repro semantic`.") from error
        if said.get("format") != FORMAT or hashlib.sha256(data).hexdigest() != said.get("sha256"):
            raise DataError(f"{folder / WEIGHTS} is not what {INFO} says of it; run `dvc repro semantic`.")
        with np.load(io.BytesIO(data), allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        basis = Basis(*({name: arrays[kind + name] for name in said["modalities"]} for kind in (CENTRE, AXES)))
        params = SemanticParams(**said["params"])
        tensorflow.load()
        from avrec.features.sequence_network import SequenceNetwork

        network = SequenceNetwork(params, basis.width, len(basis.modalities))
        network.set_weights([arrays[name] for name in sorted(arrays) if name.startswith(WEIGHT)])
        return cls(params, basis, network)
