"""The model as MLflow keeps it: the bundle plus a few lines of code that read it; nothing is pickled."""

from __future__ import annotations

import importlib.metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq

import avrec
from avrec.errors import RegistryError
from avrec.registry.report import Report

if TYPE_CHECKING:
    from mlflow.models import ModelSignature

CODE = Path(avrec.__file__).resolve().parent / "serving" / "pyfunc_model.py"
ARTIFACT = "bundle"
BUNDLE_HASH = "model.bundle_md5"
"""Key of the model's configuration; MLflow shows it among the run's parameters."""
FOLDER = "artifacts/bundle"
"""Where the bundle is below a downloaded model."""


def signature() -> ModelSignature:
    """One request a row in, one list a row out.

    In: `user_id` or `history` (item ids, oldest first), `k`, `filters`; all optional, a request without user and
    history gets the default list, that of a `segment` (as "country=DE") where one is named. Rows of one call that leave
    out different fields say `null` for them, and give `k` all or none: MLflow makes one data frame of them.
    `diversity` and `max_per_category` take the place of the model's own rules; only what is available now (or at
    `filters.at`) is listed. `text` or `spoken` searches instead. Out: `user_id`, `known` (the model has a history of
    this user), `items`, and for a spoken request `answer`.
    """
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, DataType, Schema
    from mlflow.types.schema import Array, Object, Property

    names = Array(DataType.string)
    filters = Object([
        *(Property(f, names, required=False) for f in ("media_types", "categories", "languages", "exclude")),
        Property("max_unsafe", DataType.double, required=False),
        Property("at", DataType.string, required=False),
    ])  # fmt: skip
    item = Object([
        Property("rank", DataType.long),
        Property("item_id", DataType.string),
        Property("title", DataType.string, required=False),
        Property("score", DataType.double),
        Property("reason_kind", DataType.string),
        Property("reason_item_id", DataType.string, required=False),
        Property("reason", DataType.string, required=False),
        Property("start_s", DataType.double, required=False),
        Property("end_s", DataType.double, required=False),
    ])  # fmt: skip
    inputs = Schema([
        ColSpec(DataType.string, "user_id", required=False),
        ColSpec(names, "history", required=False),
        ColSpec(DataType.long, "k", required=False),
        ColSpec(filters, "filters", required=False),
        ColSpec(DataType.string, "text", required=False),
        ColSpec(DataType.string, "spoken", required=False),
        ColSpec(DataType.double, "diversity", required=False),
        ColSpec(DataType.long, "max_per_category", required=False),
        ColSpec(DataType.string, "segment", required=False),
    ])  # fmt: skip
    outputs = Schema([
        ColSpec(DataType.string, "user_id", required=False),
        ColSpec(DataType.boolean, "known"),
        ColSpec(Array(item), "items"),
        ColSpec(DataType.string, "answer", required=False),
    ])  # fmt: skip
    return ModelSignature(inputs=inputs, outputs=outputs)


def input_example(bundle: Path) -> list[dict[str, Any]]:
    """A request anyone can send to this model: the catalogue's first two items as a history."""
    items = pq.read_table(bundle / "items.parquet", columns=["item_id", "media_type"]).slice(0, 2).to_pylist()
    media_types = sorted({str(item["media_type"]) for item in items})
    return [{"history": [i["item_id"] for i in items], "k": 5, "filters": {"media_types": media_types}}]


def log_model(report: Report) -> str:
    """Logs the bundle as a pyfunc under the active run and returns the id of the logged model.

    Raises:
        RegistryError: there is no bundle.
    """
    import mlflow.pyfunc
    import pandas as pd

    if not report.bundle_folder.is_dir():
        raise RegistryError(f"{report.bundle_folder} is missing; run `dvc repro refit`, or `dvc pull`.")
    logged = mlflow.pyfunc.log_model(
        name="model",
        python_model=str(CODE),  # models from code: a file that is read, not an object that is pickled
        artifacts={ARTIFACT: str(report.bundle_folder)},
        model_config={BUNDLE_HASH: report.bundle_md5},
        pip_requirements=requirements(),
        signature=signature(),
        input_example=pd.DataFrame(input_example(report.bundle_folder)),
        metadata={"avrec.key": report.key, "avrec.synthetic": report.synthetic},
    )
    return str(logged.model_id)


def requirements() -> list[str]:
    """What loading needs: this package (its extra `learn` reads the two-tower weights) and the reader of pyfunc."""
    return [
        f"avrec[learn]=={importlib.metadata.version('avrec')}",
        f"mlflow=={importlib.metadata.version('mlflow')}",
    ]
