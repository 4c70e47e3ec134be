"""The model as `mlflow models serve` runs it. MLflow stores this file beside the bundle and reads it back."""

from __future__ import annotations

import warnings
from pathlib import Path

import mlflow
from mlflow.pyfunc import PythonModel, PythonModelContext

from avrec.serving.answering import Answerer

# `predict` has no type hints on purpose: MLflow would take them for a signature and ignore the one that is logged.
warnings.filterwarnings("ignore", message=".*type hints.*")


class AvrecModel(PythonModel):  # type: ignore[misc]  # MLflow is untyped
    """Requests in, lists out; see `avrec.registry.model.signature`."""

    def load_context(self, context: PythonModelContext) -> None:
        expected = (context.model_config or {}).get("bundle_md5")
        self.answerer = Answerer.load(Path(context.artifacts["bundle"]), expected)

    def predict(self, context, model_input, params=None):  # type: ignore[no-untyped-def]
        return self.answerer.answer(model_input)


mlflow.models.set_model(AvrecModel())
