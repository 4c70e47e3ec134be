"""The model as `mlflow models serve` runs it. MLflow stores this file beside the bundle and reads it back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
from mlflow.pyfunc import PythonModel, PythonModelContext

from avrec.serving.answering import Answerer


class AvrecModel(PythonModel):  # type: ignore[misc]  # MLflow is untyped
    """Requests in, lists out; see `avrec.registry.model.signature`."""

    def load_context(self, context: PythonModelContext) -> None:
        expected = (context.model_config or {}).get("model.bundle_md5")
        self.answerer = Answerer.load(Path(context.artifacts["bundle"]), expected)

    # The plain data frame keeps MLflow from deriving a signature of its own from the type hints.
    def predict(
        self, context: PythonModelContext, model_input: pd.DataFrame, params: dict[str, Any] | None = None
    ) -> Any:
        return self.answerer.answer(model_input)


mlflow.models.set_model(AvrecModel())
