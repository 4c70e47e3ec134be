"""What `track` leaves in MLflow, and that it leaves it once."""

from __future__ import annotations

import shutil
from pathlib import Path

import mlflow
import pandas as pd
import pytest
from mlflow import MlflowClient
from typer.testing import CliRunner

from avrec.cli import app
from avrec.errors import RegistryError
from avrec.recommend.bundle import Bundle
from avrec.registry import client as server
from avrec.registry import runs
from avrec.registry.leaderboard import earlier_runs
from avrec.registry.report import Report
from avrec.registry.runs import COMPLETE, MODEL_ID, track

from .conftest import CODE, Checkout, default_params, read_json, write_lock


@pytest.fixture
def client(home: Path) -> MlflowClient:
    return server.connect()


@pytest.fixture
def tracked(client: MlflowClient, checkout: Checkout) -> str:
    """The run of the honest checkout; the module's home keeps it, so only the first test pays."""
    return track(checkout.root, CODE, {"dataset": 3.2, "validate": 1.5})


def all_runs(client: MlflowClient) -> list[str]:
    return [run.info.run_id for run in client.search_runs([server.experiment_id(client)])]


def matcher_table(run_id: str) -> pd.DataFrame:
    return pd.DataFrame(**mlflow.artifacts.load_dict(f"runs:/{run_id}/matchers.json"))


def test_without_a_server_the_database_is_used_directly(client: MlflowClient, home: Path) -> None:
    assert client.tracking_uri == f"sqlite:///{home}/mlflow/mlflow.db"
    location = client.get_experiment(server.experiment_id(client)).artifact_location
    assert location == (home / "mlflow" / "artifacts").as_uri()


def test_configuration_names_the_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AVREC_MLFLOW_URI", "https://mlflow.example.org")
    assert server.tracking_uri() == "https://mlflow.example.org"


def test_a_run_says_what_it_is(client: MlflowClient, tracked: str, checkout: Checkout) -> None:
    run = client.get_run(tracked)
    report = Report.read(checkout.root)
    assert run.info.status == "FINISHED"
    assert run.info.run_name.startswith("folder 2026-03-02")
    assert "(synthetic)" in run.info.run_name
    assert run.data.params["matching.content.profile_size"] == "50"
    assert run.data.params["chosen.content.profile_size"] == "50"
    assert run.data.params["data.version"] == report.dataset_version
    tags = run.data.tags
    assert tags["avrec.bundle_md5"] == report.bundle_md5
    assert tags["avrec.commit"] == CODE.commit
    assert tags["avrec.trained_through"] == report.bundle["trained_through"]
    assert tags["avrec.test_from"] == report.test_period["from"]
    assert "**Synthetic data.**" in tags["mlflow.note.content"]
    assert "| **hybrid** |" in tags["mlflow.note.content"]


def test_metrics_are_the_figures_of_the_report(client: MlflowClient, tracked: str, checkout: Checkout) -> None:
    metrics = client.get_run(tracked).data.metrics
    matchers = Report.read(checkout.root).evaluation["matchers"]
    assert metrics["test/ndcg_at_10"] == metrics["_headline/ndcg_at_10"] == matchers["hybrid"]["all"]["ndcg@10"]
    assert metrics["_headline/gain_over_ease"] == metrics["gain/over_ease/difference"] > 0
    assert metrics["test_cold_only/recall_at_10"] == matchers["hybrid"]["cold_only"]["recall@10"]
    assert metrics["test_category/cats/ndcg_at_10"] == matchers["hybrid"]["category=cats"]["ndcg@10"]
    assert metrics["baselines/ease/ndcg_at_10"] == matchers["ease"]["all"]["ndcg@10"]
    assert metrics["shuffled_twins/hybrid/ndcg_at_10"] == matchers["hybrid+shuffled"]["all"]["ndcg@10"]
    assert metrics["gain/over_ease/lower"] > 0
    assert metrics["seconds/all"] == pytest.approx(4.7)


def test_epochs_and_cuts_are_curves(client: MlflowClient, tracked: str) -> None:
    loss = client.get_metric_history(tracked, "training/content/loss")
    assert [(m.step, m.value) for m in loss] == [(e, pytest.approx(1 / e)) for e in range(1, 6)]
    assert [m.step for m in client.get_metric_history(tracked, "test_by_k/recall")] == [5, 10]


def test_what_answers_the_question_is_listed_first(client: MlflowClient, tracked: str) -> None:
    names = sorted(client.get_run(tracked).data.metrics)
    headline = [name for name in names if name.startswith("_headline/")]
    assert names[: len(headline)] == headline
    assert len(headline) <= 7  # rows that MLflow's comparison shows without scrolling


def test_metrics_belong_to_the_model(client: MlflowClient, tracked: str) -> None:
    model = client.get_logged_model(client.get_run(tracked).data.tags[MODEL_ID])
    assert "test/ndcg_at_10" in {metric.key for metric in model.metrics}


def test_data_version_is_a_logged_dataset(client: MlflowClient, tracked: str, checkout: Checkout) -> None:
    inputs = {d.dataset.name: d.dataset for d in client.get_run(tracked).inputs.dataset_inputs}
    version = Report.read(checkout.root).dataset_version
    assert inputs["data-valid"].digest == version.removesuffix(".dir")
    assert version in inputs["data-valid"].source


def test_files_tables_and_pictures_are_there(client: MlflowClient, tracked: str, checkout: Checkout) -> None:
    names = {file.path for file in client.list_artifacts(tracked)}
    assert {"model_card.md", "leaderboard.html"} <= names
    assert {"dvc.lock", "params.yaml", "matchers.json", "environment.json", "timings.json", "plots", "reports"} <= names
    plots = {Path(file.path).stem for file in client.list_artifacts(tracked, "plots")}
    assert plots == {"recall_by_k", "loss", "per_category", "projection"} | (plots & {"calibration"})
    table = matcher_table(tracked)
    assert set(table["matcher"]) == set(checkout.fitted.matchers)
    row = table[(table["matcher"] == "ease") & (table["slice"] == "all")].iloc[0]
    assert row["ndcg@10"] == Report.read(checkout.root).evaluation["matchers"]["ease"]["all"]["ndcg@10"]
    ablated = pd.DataFrame(**mlflow.artifacts.load_dict(f"runs:/{tracked}/ablation.json"))
    assert {"everything", "nothing"} <= set(ablated["content"])
    everything = ablated[(ablated["content"] == "everything") & (ablated["slice"] == "all")].iloc[0]
    assert (
        everything["ndcg@10"] == table[(table["matcher"] == "content") & (table["slice"] == "all")].iloc[0]["ndcg@10"]
    )
    environment = mlflow.artifacts.load_dict(f"runs:/{tracked}/environment.json")
    assert environment["packages"]["mlflow"] == mlflow.__version__


def test_the_model_is_code_and_arrays_without_pickle(client: MlflowClient, tracked: str, checkout: Checkout) -> None:
    model = mlflow.pyfunc.load_model(f"models:/{client.get_run(tracked).data.tags[MODEL_ID]}")
    folder = Path(mlflow.artifacts.download_artifacts(model.metadata.artifact_path))
    assert not [path for path in folder.rglob("*") if path.suffix in {".pkl", ".pickle", ".joblib", ".pth"}]
    answer = model.predict(pd.DataFrame([{"history": ["i000", "i001"], "k": 4}]))
    items = [item["item_id"] for item in answer[0]["items"]]
    bundle = Bundle.load(checkout.root / "artifacts" / "bundle")
    wanted = bundle.recommend(bundle.history(["i000", "i001"]), 4)
    assert items == [bundle.catalog.item_ids[i] for i in wanted.items[0]]
    assert model.input_example is not None
    fields = ["user_id", "history", "k", "filters", "text", "spoken", "diversity", "max_per_category", "segment"]
    assert model.metadata.signature.inputs.input_names() == fields


def test_tracking_again_changes_nothing(client: MlflowClient, tracked: str, checkout: Checkout) -> None:
    before = client.get_run(tracked)
    assert track(checkout.root, CODE, {"dataset": 99.0}) == tracked
    assert client.get_run(tracked).data.metrics == before.data.metrics
    assert all_runs(client).count(tracked) == 1


def test_an_outage_in_between_is_repaired(
    client: MlflowClient, checkout: Checkout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "other"
    shutil.copytree(checkout.root, root)
    write_lock(root, default_params(split={"val": 0.1}))

    def lost(*_: object) -> None:
        raise ConnectionError("the server went away")

    with monkeypatch.context() as outage:
        outage.setattr(runs, "_log_metrics", lost)  # after the model, before the figures
        with pytest.raises(ConnectionError):
            track(root, CODE, {"dataset": 1.0})
    half = runs.find_run(client, Report.read(root).key)
    assert half is not None
    assert (half.info.status, half.data.tags[COMPLETE]) == ("FAILED", "false")
    again = track(root, CODE, {"dataset": 1.0})
    run = client.get_run(again)
    assert again == half.info.run_id
    assert (run.info.status, run.data.tags[COMPLETE]) == ("FINISHED", "true")
    models = client.search_logged_models([run.info.experiment_id], f"source_run_id = '{again}'")
    assert len(models) == 1
    assert len(matcher_table(again)) == sum(len(slices) for slices in Report.read(root).evaluation["matchers"].values())
    assert [m.step for m in client.get_metric_history(again, "training/content/loss")] == [1, 2, 3, 4, 5]


def test_two_that_start_at_once_agree_on_one_run(client: MlflowClient, checkout: Checkout, tmp_path: Path) -> None:
    root = tmp_path / "other"
    shutil.copytree(checkout.root, root)
    write_lock(root, default_params(split={"val": 0.2}))
    report = Report.read(root)
    first, second = runs._claim(client, report), runs._claim(client, report)
    assert first.info.run_id == second.info.run_id


def test_track_itself_is_not_part_of_the_key(checkout: Checkout, tmp_path: Path) -> None:
    import yaml

    root = tmp_path / "other"
    shutil.copytree(checkout.root, root)
    lock = yaml.safe_load((root / "dvc.lock").read_text())
    before = Report.read(root).key
    lock["stages"]["track"] = {"cmd": "python -m pipelines.track", "deps": [{"path": "artifacts/bundle", "md5": "x"}]}
    (root / "dvc.lock").write_text(yaml.safe_dump(lock))
    assert Report.read(root).key == before


def test_artifacts_that_are_not_the_locked_ones_are_not_reported(checkout: Checkout, tmp_path: Path) -> None:
    root = tmp_path / "other"
    shutil.copytree(checkout.root, root)
    report = read_json(root / "artifacts" / "evaluation.json")
    report["matchers"]["hybrid"]["all"]["ndcg@10"] = 0.99
    (root / "artifacts" / "evaluation.json").write_text(str(report))
    with pytest.raises(RegistryError, match=r"is not what dvc\.lock says"):
        Report.read(root)
    (root / "dvc.lock").unlink()
    with pytest.raises(RegistryError, match="dvc repro"):
        Report.read(root)


def test_runs_find_one_another(client: MlflowClient, tracked: str, checkout: Checkout) -> None:
    run, report = client.get_run(tracked), Report.read(checkout.root)
    other = client.create_run(run.info.experiment_id, run_name="another", tags={
        "avrec.complete": "true", "avrec.split_md5": report.outputs["data/split"]})  # fmt: skip
    client.log_metric(other.info.run_id, "test/ndcg_at_10", 0.25)
    found = {one.name: one for one in earlier_runs(client, run, report)}
    assert found["another"].same_test and found["another"].values == {"all": 0.25}
    assert run.info.run_name not in found
    client.delete_run(other.info.run_id)


def test_both_are_in_the_run_and_the_command_prints_the_card(client: MlflowClient, tracked: str) -> None:
    card = mlflow.artifacts.load_text(f"runs:/{tracked}/model_card.md")
    assert card.startswith("# Model card: bundle")
    assert "<h1>Leaderboard" in mlflow.artifacts.load_text(f"runs:/{tracked}/leaderboard.html")
    missing = CliRunner().invoke(app, ["models", "card", "77"])
    assert missing.exit_code != 0
