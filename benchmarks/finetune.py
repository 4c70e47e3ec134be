"""What fine-tuning of the networks and augmentation change in lists, above all of items nobody watched.

    python -m benchmarks.finetune [--hybrid] [--json FILE]

Runs in a checkout after `dvc repro rank`, with the settings of its params.yaml. Rows: the networks as given; their top
layers trained without augmentation; and with it, from the same seed. Each time all media are extracted with the layers
that were written. One half of the validation users decides when training stops and chooses the settings of the
matchers; the other half is reported; the test part is not read.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

from avrec.datasets.dataset import Dataset
from avrec.features.base import read_features
from avrec.features.collect import collect
from avrec.matching.data import Catalog
from avrec.matching.finetune import FILES, Finetuned, finetune
from avrec.matching.loading import load_catalog, load_split, validation_halves
from avrec.params import FeaturesParams, Params, load_params
from benchmarks.semantic import Row, averages, people, tell


def measure(params: Params, project: Path, matchers: tuple[str, ...]) -> list[Row]:
    """A row for each way to train."""
    dataset = Dataset(project / "data" / "valid")
    catalog = load_catalog(dataset, project / "data" / "features")
    split = load_split(project / "data" / "split", catalog)
    chosen, reported = validation_halves(split.val, params.matching.seed)
    categories = tuple(dataset.table("items")["category"].to_pylist())

    def row(name: str, seen: Catalog) -> Row:
        found = {m: averages(m, people(m, seen, split, categories, chosen, reported)) for m in matchers}
        return tell({"vector": name, **{k: v for figures in found.values() for k, v in figures.items()}})

    rows = [row("as given", extracted(dataset, catalog, params.features))]
    for name, augment in (("fine-tuned", False), ("fine-tuned, augmented", True)):
        tuning = params.finetune.model_copy(update={"augment": augment})
        found = finetune(params.model_copy(update={"finetune": tuning}), project)
        print(found.told(), flush=True)
        rows.append(row(name, extracted(dataset, catalog, with_layers(params.features, found))))
    return rows


def with_layers(features: FeaturesParams, found: Finetuned) -> FeaturesParams:
    """The same settings with the layers that were written."""
    values = features.model_dump()
    for modality, (path, digest) in found.files.items():
        values[modality] |= {"weights": str(path), "weights_sha256": digest}
    return FeaturesParams.model_validate(values)


def extracted(dataset: Dataset, catalog: Catalog, features: FeaturesParams) -> Catalog:
    """The catalogue with picture and sound as these settings see and hear them."""
    items = dataset.table("items")
    anew = {}
    for modality in FILES:
        with tempfile.TemporaryDirectory() as folder:
            collect(items, dataset.meta.media_root, features, modality, Path(folder))
            anew[modality] = read_features(Path(folder), modality, catalog.item_ids)
    return catalog.with_features({**catalog.features, **anew})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hybrid", action="store_true", help="also the hybrid, which takes minutes a row")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    matchers = ("content", "two_tower", *["hybrid"] * options.hybrid)
    rows = measure(load_params(), Path.cwd(), matchers)
    if options.json:
        options.json.write_text(json.dumps({"rows": rows}, indent=2) + "\n", "utf-8")


if __name__ == "__main__":
    main()
