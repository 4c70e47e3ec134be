"""A parent run in MLflow and its children: what a study tried, one child a trial."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from avrec.registry import client as server
from avrec.registry.naming import legal, parameters

if TYPE_CHECKING:
    from mlflow import MlflowClient

STUDY, TRIAL = "avrec.study", "avrec.trial"


class Study:
    """Nested runs; told again, a trial is the same run.

    Args:
        client: Of `avrec.registry.client.connect`.
        key: Names the study; the same key finds the same parent.
        name: For people.
    """

    def __init__(self, client: MlflowClient, key: str, name: str) -> None:
        self._client, self._experiment = client, server.experiment_id(client)
        self.run_id = self._find(f"tags.`{STUDY}` = '{key}'") or self._create(name, {STUDY: key})

    def trial(self, key: str, name: str, settings: Mapping[str, Any], values: Mapping[str, float]) -> str:
        """One child with its parameters and metrics; returns its run id."""
        there = self._find(f"tags.`mlflow.parentRunId` = '{self.run_id}' and tags.`{TRIAL}` = '{key}'")
        if there is not None:
            return there
        run_id = self._create(name, {"mlflow.parentRunId": self.run_id, TRIAL: key})
        self._write(run_id, settings, values)
        return run_id

    def finish(self, settings: Mapping[str, Any], values: Mapping[str, float], documents: Mapping[str, str]) -> None:
        """What came of all: the parent's metrics, the chosen settings as tags, and texts as files by name."""
        for name, value in parameters(settings).items():
            self._client.set_tag(self.run_id, f"best.{name}", value)  # a later pass may find a better one
        for name, number in values.items():
            self._client.log_metric(self.run_id, legal(name), number)
        for file, text in documents.items():
            self._client.log_text(self.run_id, text, file)
        self._client.set_terminated(self.run_id, "FINISHED")

    def _write(self, run_id: str, settings: Mapping[str, Any], values: Mapping[str, float]) -> None:
        from mlflow.entities import Metric, Param

        now = int(time.time() * 1000)
        metrics = [Metric(legal(name), number, now, 0) for name, number in values.items()]
        params = [Param(name, value) for name, value in parameters(settings).items()]
        self._client.log_batch(run_id, metrics=metrics, params=params)
        self._client.set_terminated(run_id, "FINISHED")

    def _create(self, name: str, tags: dict[str, str]) -> str:
        return str(self._client.create_run(self._experiment, run_name=name, tags=tags).info.run_id)

    def _find(self, which: str) -> str | None:
        found = self._client.search_runs([self._experiment], which, order_by=["attributes.start_time ASC"])
        return next((str(run.info.run_id) for run in found), None)
