"""Stage semantic: an encoder learns to read items as sequences of segments, and gives each item one more vector.

It learns from the content of items that people met in training, and from nothing people did; those that come later are
encoded as they come. Where `features.semantic` names no encoder, the stage writes that down and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable

import pyarrow.parquet as pq

from avrec.params import Params
from avrec.schema import EXTRACTED, SEMANTIC
from pipelines.stage import DATA, fresh, run, write_json


def work(params: Params) -> None:
    out, chosen = fresh(DATA / "features" / SEMANTIC), params.features.semantic
    if chosen.encoder == "none":
        write_json(out / "semantic.json", {"encoder": "none"})
        return
    import numpy as np  # what follows loads TensorFlow, which is not needed where nothing is learned

    from avrec.datasets.dataset import Dataset
    from avrec.errors import DataError
    from avrec.features.semantic import SemanticEncoder
    from avrec.features.semantic_tables import write_semantic
    from avrec.features.tokens import read_items

    ids = Dataset(DATA / "valid").table("items")["item_id"].to_pylist()
    met = set(pq.read_table(DATA / "split" / "train.parquet", columns=["item_id"])["item_id"].to_pylist())
    folders = {modality: DATA / "features" / modality for modality in EXTRACTED}
    learn = np.array([item_id in met for item_id in ids], bool)
    try:
        encoder = SemanticEncoder.fit(read_items(folders, ids), learn, chosen, _tell(chosen.epochs))
    except ValueError as error:
        raise DataError(f"features.semantic: {error} Set encoder to none, or bring items with content.") from error
    write_json(out / "semantic.json", write_semantic(out, folders, ids, encoder))


def _tell(epochs: int) -> Callable[[int, float], None]:
    def told(epoch: int, loss: float) -> None:
        if epoch == 1 or epoch % 10 == 0 or epoch == epochs:
            print(f"semantic: epoch {epoch}/{epochs}, loss {loss:.3f}", flush=True)

    return told


if __name__ == "__main__":
    run("semantic", work)
