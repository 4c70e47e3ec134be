"""Writes a finished pass to MLflow, once, whatever happens in between."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from avrec.errors import RegistryError
from avrec.registry import card, leaderboard
from avrec.registry import client as server
from avrec.registry.card import model_card
from avrec.registry.describe import changed, note, run_name
from avrec.registry.metrics import ablation_table, matcher_table, points
from avrec.registry.model import log_model
from avrec.registry.naming import batches, parameters
from avrec.registry.plots import draw_all
from avrec.registry.report import Report

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

COMPLETE = "avrec.complete"
MODEL_ID = "avrec.model_id"
RUN_ID, LOCAL = "avrec.run_id", "local"
_FILES = ("dvc.lock", "params.yaml", "artifacts/evaluation.json", "artifacts/validation.json", "artifacts/split.json")
_FOLDERS = ("artifacts/evaluation", "artifacts/training", "artifacts/plots")
_LONGEST_TAG = 4000
_ENVIRONMENT = ("tensorflow", "keras", "numpy", "scikit-learn", "mlflow", "dvc", "av")


@dataclass(frozen=True)
class CodeVersion:
    """Which code made a run: commit, branch or ref, and whether files differed from the commit."""

    commit: str
    ref: str = ""
    modified: bool = False


def track(root: Path, code: CodeVersion, timings: Mapping[str, float] | None = None) -> str:
    """Reports a checkout to MLflow and returns the MLflow run id.

    Idempotent: a run is known by the hashes of what it reports (tag `avrec.key`). A second call finds the run; a
    run that an outage left half written is completed, and every value lands where it would have landed.

    Args:
        root: Checkout in which the stages before `track` have run.
        code: The commit of that checkout.
        timings: Seconds by stage.

    Raises:
        RegistryError: an artifact is missing, or is not the one `dvc.lock` names.
    """
    report = Report.read(root)
    client = server.connect()
    run = _claim(client, report)
    if run.data.tags.get(COMPLETE) != "true":
        _fill(client, run, report, code, timings or {})
    elif run.data.tags.get(RUN_ID) == LOCAL != _run_id():
        client.set_tag(run.info.run_id, RUN_ID, _run_id())  # what was made on a laptop has a ref now
    return str(run.info.run_id)


def find_run(client: MlflowClient, key: str) -> Run | None:
    """The run of a key: the oldest, so that two processes that start at once agree on one."""
    found = client.search_runs(
        [server.experiment_id(client)], f"tags.`avrec.key` = '{key}'", order_by=["attributes.start_time ASC"]
    )
    return min(found, key=lambda run: (run.info.start_time, run.info.run_id), default=None)


def _claim(client: MlflowClient, report: Report) -> Run:
    found = find_run(client, report.key)
    if found is not None:
        return found
    mine = client.create_run(
        server.experiment_id(client), run_name=run_name(report), tags={"avrec.key": report.key, COMPLETE: "false"}
    )
    first = find_run(client, report.key) or mine
    if first.info.run_id != mine.info.run_id:
        client.delete_run(mine.info.run_id)
    return first


def _fill(client: MlflowClient, run: Run, report: Report, code: CodeVersion, timings: Mapping[str, float]) -> None:
    run_id = run.info.run_id
    with _running(client, run_id):
        values = run_parameters(report, code)
        _log_params(client, run, values)
        champion = _champion(client)
        shown = {
            "mlflow.note.content": note(report, champion, values),
            "avrec.changed": "; ".join(changed(champion, values))[:_LONGEST_TAG] or "nothing, or no champion before",
        }
        _log_tags(client, run, run_tags(report, code) | shown)
        _log_inputs(client, run_id, report)
        _log_files(client, run_id, report)
        _log_tables(client, run_id, report)
        _log_documents(client, run, report, timings, code)
        model_id = _log_model(client, run, report)
        _log_metrics(client, run, report, timings, model_id)
        client.set_tag(run_id, COMPLETE, "true")  # last: whatever fails before is done again


@contextmanager
def _running(client: MlflowClient, run_id: str) -> Iterator[None]:
    client.update_run(run_id, status="RUNNING")
    try:
        yield
    except BaseException:
        client.set_terminated(run_id, "FAILED")
        raise
    client.set_terminated(run_id, "FINISHED")


def run_parameters(report: Report, code: CodeVersion) -> dict[str, str]:
    """What may differ between two runs and explain a difference: params.yaml, chosen settings, data, code."""
    chosen = {name: said.get("settings", {}) for name, said in report.training.items()}
    return {
        **parameters(report.params),
        **parameters(chosen, "chosen"),
        "data.version": report.dataset_version,
        "data.test_from": str(report.test_period.get("from")),
        "data.test_to": str(report.test_period.get("to")),
        "code.commit": code.commit[:12] + (" + local changes" if code.modified else ""),
    }


def run_tags(report: Report, code: CodeVersion) -> dict[str, str]:
    """Tags of the run, which the model version gets too."""
    return {
        "avrec.key": report.key,
        RUN_ID: _run_id(),
        "avrec.commit": code.commit,
        "avrec.commit_modified": str(code.modified).lower(),
        "avrec.dataset_version": report.dataset_version,
        "avrec.split_md5": report.outputs.get("data/split", ""),
        "avrec.bundle_md5": report.bundle_md5,
        "avrec.synthetic": str(report.synthetic).lower(),
        "avrec.primary": report.primary,
        "avrec.trained_from": str(report.bundle.get("trained_from")),
        "avrec.trained_through": str(report.bundle.get("trained_through")),
        "avrec.test_from": str(report.test_period.get("from")),
        "avrec.test_to": str(report.test_period.get("to")),
        "mlflow.source.git.commit": code.commit,
        "mlflow.source.git.branch": code.ref,
        "mlflow.source.name": "dvc.yaml",
    }


def _run_id() -> str:
    return os.environ.get("AVREC_RUN_ID", LOCAL)


def environment() -> dict[str, Any]:
    """Versions of everything that is installed, and of Python and the machine's kind."""
    packages = {d.metadata["Name"]: d.version for d in importlib.metadata.distributions()}
    return {
        "python": platform.python_version(),
        "machine": platform.machine(),
        "packages": dict(sorted(packages.items())),
    }


def _champion(client: MlflowClient) -> Run | None:
    from mlflow.exceptions import MlflowException

    try:
        return client.get_run(client.get_model_version_by_alias(server.MODEL, server.CHAMPION).run_id)
    except MlflowException:
        return None


def _log_params(client: MlflowClient, run: Run, values: Mapping[str, str]) -> None:
    from mlflow.entities import Param

    # A parameter cannot be written twice with another value; an attempt from an older commit may have been first.
    missing = [Param(name, value) for name, value in values.items() if name not in run.data.params]
    for block in batches(missing, 100):
        client.log_batch(run.info.run_id, params=block)


def _log_tags(client: MlflowClient, run: Run, values: Mapping[str, str]) -> None:
    from mlflow.entities import RunTag

    versions = {f"env.{name}": importlib.metadata.version(name) for name in _ENVIRONMENT if _installed(name)}
    tags = {**values, **versions, "env.python": platform.python_version()}
    for block in batches([RunTag(name, value) for name, value in tags.items()], 100):
        client.log_batch(run.info.run_id, tags=block)


def _log_inputs(client: MlflowClient, run_id: str, report: Report) -> None:
    from mlflow.data.code_dataset_source import CodeDatasetSource
    from mlflow.data.meta_dataset import MetaDataset
    from mlflow.entities import DatasetInput, InputTag

    inputs = []
    for path, context in (("data/valid", "training"), ("data/split", "evaluation")):
        md5 = report.outputs.get(path)
        if md5:
            source = CodeDatasetSource(tags={"dvc.path": path, "dvc.md5": md5})
            data = MetaDataset(source, name=path.replace("/", "-"), digest=md5.removesuffix(".dir"))
            inputs.append(DatasetInput(data._to_mlflow_entity(), [InputTag("mlflow.data.context", context)]))
    client.log_inputs(run_id, inputs)


def _log_files(client: MlflowClient, run_id: str, report: Report) -> None:
    for name in _FILES:
        path = report.root / name
        if path.is_file():
            client.log_artifact(run_id, str(path), "reports" if name.startswith("artifacts/") else None)
    for name in _FOLDERS:
        path = report.root / name
        if path.is_dir():
            client.log_artifacts(run_id, str(path), f"reports/{path.name}")


def _log_tables(client: MlflowClient, run_id: str, report: Report) -> None:
    there = {file.path for file in client.list_artifacts(run_id)}
    for name, table in (("matchers.json", matcher_table(report)), ("ablation.json", ablation_table(report))):
        if table["matcher"] and name not in there:  # log_table would append
            client.log_table(run_id, table, name)


def _log_documents(
    client: MlflowClient, run: Run, report: Report, timings: Mapping[str, float], code: CodeVersion
) -> None:
    run_id = run.info.run_id
    client.log_text(run_id, model_card(report, timings, code.commit), card.FILE)
    client.log_text(run_id, leaderboard.leaderboard(report, leaderboard.earlier_runs(client, run, report)),
                    leaderboard.FILE)  # fmt: skip
    client.log_dict(run_id, environment(), "environment.json")
    client.log_dict(run_id, dict(timings), "timings.json")
    with tempfile.TemporaryDirectory() as scratch:
        draw_all(report.root, report.synthetic, Path(scratch) / "plots")
        _render_data_docs(report.root, Path(scratch) / "data_docs")
        client.log_artifacts(run_id, scratch)


def _render_data_docs(root: Path, out: Path) -> None:
    results = root / "artifacts" / "validation" / "results.json"
    if results.is_file():
        from avrec.validation.docs import render

        render(results, out)


def _log_model(client: MlflowClient, run: Run, report: Report) -> str:
    import mlflow

    done = run.data.tags.get(MODEL_ID)
    if done:
        return str(done)
    for half in client.search_logged_models([run.info.experiment_id], f"source_run_id = '{run.info.run_id}'"):
        client.delete_logged_model(half.model_id)
    with mlflow.start_run(run_id=run.info.run_id, log_system_metrics=False):
        model_id = log_model(report)
    client.set_tag(run.info.run_id, MODEL_ID, model_id)
    return model_id


def _log_metrics(client: MlflowClient, run: Run, report: Report, timings: Mapping[str, float], model_id: str) -> None:
    from mlflow.entities import Metric

    # One instant for all, that of the run: written again, a value is the same point and not a second one.
    at = run.info.start_time
    values = [Metric(p.name, p.value, at, p.step, model_id=model_id) for p in points(report, timings)]
    if not values:
        raise RegistryError(f"{report.root}/artifacts/evaluation.json holds no metric; run `dvc repro evaluate`.")
    for block in batches(values, 500):
        client.log_batch(run.info.run_id, metrics=block)


def _installed(name: str) -> bool:
    try:
        importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True
