"""`avrec finetune`: the top layers of the project's networks, trained on what people liked, as files to name."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from avrec.datasets.dataset import Dataset
from avrec.errors import DataError
from avrec.features.mobilenet import trainable_mobilenet
from avrec.features.top_layers import NETWORK
from avrec.features.views import items_within, load_views
from avrec.features.weights import tuned_folder
from avrec.features.yamnet import DIM, trainable_yamnet
from avrec.matching.base import save_arrays
from avrec.matching.data import Arrays, Catalog
from avrec.matching.finetune_training import FinetunedTowers, finetune_networks, sample_of
from avrec.matching.item_networks import ItemNetwork
from avrec.matching.loading import load_catalog, load_split, validation_halves
from avrec.matching.selection import SELECT_K
from avrec.params import Params

FILES = {"visual": "mobilenet", "audio": "yamnet"}
"""Networks whose top layers can be trained, by modality."""


@dataclass(frozen=True)
class Finetuned:
    """What came of it.

    Attributes:
        epochs: Figures an epoch; the first is of the networks as given.
        best: Number of the best epoch; 1: as given.
        files: By modality the written weights and their SHA-256; empty where the networks were best as given.
    """

    epochs: list[dict[str, float]]
    best: int
    files: dict[str, tuple[Path, str]]

    def told(self) -> str:
        """For people: the figures, and what to write into params.yaml."""
        name = f"val_ndcg@{SELECT_K}"
        lines = [f"epoch {e['epoch']:2.0f}  loss {e['loss']:.4f}  NDCG@{SELECT_K} {e[name]:.4f}" for e in self.epochs]
        if not self.files:
            return "\n".join([*lines, "No epoch was better than the networks as given: nothing is written.", ""])
        lines.append(f"best: epoch {self.best}. For params.yaml, then `dvc repro`:")
        for modality, (path, digest) in self.files.items():
            lines.append(f"features.{modality}.weights: {path}\nfeatures.{modality}.weights_sha256: {digest}")
        return "\n".join([*lines, ""])


def finetune(params: Params, project: Path) -> Finetuned:
    """Trains on the project's training part, stops by one half of its validation, writes the best layers.

    Args:
        params: The section `finetune` says how; towers as in `matching.two_tower`; networks as in `features`.
        project: Folder with `data/valid`, `data/split` and `data/features`.

    Raises:
        DataError: there is nothing to train on, or nothing to judge it by.
        ParamsError: too little memory is allowed for.
    """
    valid = Dataset(project / "data" / "valid")
    catalog = load_catalog(valid, project / "data" / "features")
    split = load_split(project / "data" / "split", catalog)
    choose, _ = validation_halves(split.val, params.matching.seed)
    rows, catalog, (train, choose) = sample_of(
        catalog, [split.train, choose], items_within(params.finetune), params.matching.seed
    )
    if not len(train.positives()) or not len(choose.positives()):
        raise DataError(f"{project}/data/split has no likes to learn from, or none to judge by; see docs/finetune.md.")
    matcher = FinetunedTowers(params.matching.two_tower, params.finetune, params.matching.seed)
    items = valid.table("items").take(pa.array(rows))
    networks = project_networks(params, items, valid, catalog)
    epochs = finetune_networks(matcher, networks, catalog, train, choose)
    best = matcher.best_epoch or 1
    return Finetuned(epochs, best, _written(matcher.networks) if best > 1 else {})


def project_networks(params: Params, items: pa.Table, valid: Dataset, catalog: Catalog) -> list[ItemNetwork]:
    """The networks of `params` that can be trained, with the views of `items`.

    Raises:
        DataError: there is none: other networks, ready-made vectors, or no media.
    """
    tuning, features = params.finetune, params.features
    names = {"visual": features.visual.network, "audio": features.audio.network}
    wanted = [m for m in FILES if names[m] == FILES[m] and m in catalog.features and m not in valid.meta.given_features]
    if not wanted:
        raise DataError(f"no network to train: {', '.join(FILES.values())} over media of the catalogue can be.")
    views = load_views(items, valid.meta.media_root, features, tuning)
    there = {"visual": views.seen, "audio": views.heard}
    wanted = [modality for modality in wanted if there[modality].any()]
    if not wanted:
        raise DataError(
            f"none of {items.num_rows} files below {valid.meta.media_root} could be decoded: are they there?"
        )
    step = tuning.learning_rate / params.matching.two_tower.learning_rate
    augmentation = tuning.augmentation if tuning.augment else None
    found = []
    for modality in wanted:
        vectors = catalog.features[modality].vectors
        if modality == "visual":
            network, beside = trainable_mobilenet(features.visual, tuning.layers, step), vectors[:, :0]
        else:
            network, beside = trainable_yamnet(features.audio, tuning.layers, step), vectors[:, DIM:]
        found.append(ItemNetwork(modality, network, views, beside, augmentation))
    return found


def _written(networks: Arrays) -> dict[str, tuple[Path, str]]:
    """The layers as files named by their hash."""
    files = {}
    tuned_folder().mkdir(parents=True, exist_ok=True)
    for modality, name in FILES.items():
        arrays = {n.removeprefix(f"{modality}."): a for n, a in networks.items() if n.startswith(f"{modality}.")}
        if arrays:
            aside = tuned_folder() / f".{name}.part"
            save_arrays(aside, {**arrays, NETWORK: np.array(name)})
            digest = hashlib.sha256(aside.read_bytes()).hexdigest()
            path = aside.replace(tuned_folder() / f"{name}-{digest[:12]}.npz")
            files[modality] = path, digest
    return files
