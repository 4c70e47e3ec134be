"""`avrec tune` and `avrec compress` for real: Optuna's study in SQLite, nested runs in MLflow, no test data."""

from __future__ import annotations

import fcntl
import shutil
from pathlib import Path

import pytest
import yaml

from avrec.errors import DataError, ParamsError
from avrec.evaluation.trial_data import trial_data
from avrec.matching.popularity import Popularity
from avrec.matching.spaces import SPACES, Numbers, settings_now, with_settings
from avrec.params import MatchingParams, Params, TwoTowerParams, parse_params
from avrec.registry import client as server
from avrec.registry.compressing import compress
from avrec.registry.studies import Study
from avrec.registry.tuning import judged, study_file, study_key, tune

from .conftest import Checkout

PARAMS = Params()


@pytest.fixture
def project(checkout: Checkout, tmp_path: Path) -> Path:
    """The data of the checkout, without a test part: whoever reads it fails."""
    shutil.copytree(checkout.root / "data", tmp_path / "data")
    return tmp_path


def test_interrupted_and_called_again_it_goes_on_and_ends_with_the_lines(
    project: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fitted: list[float | None] = []
    fit = Popularity.fit

    def counted(self, *arguments):  # type: ignore[no-untyped-def]
        fitted.append(self.settings()["half_life_days"])
        if len(fitted) == 4:
            raise KeyboardInterrupt
        return fit(self, *arguments)

    monkeypatch.setattr(Popularity, "fit", counted)
    with pytest.raises(KeyboardInterrupt):
        tune("popularity", PARAMS, project, 6)
    found = tune("popularity", PARAMS, project, 6)
    assert found.trials == 6
    assert fitted[0] == 14.0  # params.yaml as it is
    assert fitted[4] == fitted[3]  # what was interrupted is tried again
    assert len({*fitted}) == 6  # and nothing else twice
    assert found.value == max(run["value"] for run in children(found.run_id))
    assert len(children(found.run_id)) == 6
    assert found.before == next(run["value"] for run in children(found.run_id) if run["trial"] == "as it is")
    chosen = parse_params(yaml.safe_load(found.lines())).matching
    on = trial_data(project, PARAMS.matching.seed)
    assert judged(Popularity(chosen.popularity), on)["ndcg@10"] == found.value
    before = len(fitted)
    assert tune("popularity", PARAMS, project, 6) == found  # nothing left to do
    assert len(fitted) == before
    assert "as it is" in found.told() and found.run_id in found.told()


def children(run_id: str) -> list[dict[str, object]]:
    client = server.connect()
    runs = client.search_runs([server.experiment_id(client)], f"tags.`mlflow.parentRunId` = '{run_id}'")
    return [{"value": run.data.metrics["ndcg_at_10"], "trial": run.data.tags["avrec.trial"]} for run in runs]


def test_the_test_part_changes_nothing(project: Path) -> None:
    whole = trial_data(project, 7)
    shutil.copy(project / "data/split/val.parquet", project / "data/split/test.parquet")
    again = trial_data(project, 7)
    assert again.key == whole.key
    assert not {*whole.choose.user.tolist()} & {*whole.judge.user.tolist()}


def test_another_fixed_setting_is_another_study(project: Path) -> None:
    on = trial_data(project, 7)
    longer = parse_params({"matching": {"graph": {"epochs": 31}}})
    tried = parse_params({"matching": {"graph": {"dim": 32}}})
    assert study_key("graph", PARAMS, on) == study_key("graph", tried, on)
    assert study_key("graph", PARAMS, on) != study_key("graph", longer, on)


def test_two_searches_of_one_study_are_refused(project: Path, home: Path) -> None:
    key = study_key("popularity", PARAMS, trial_data(project, PARAMS.matching.seed))
    study_file().parent.mkdir(parents=True, exist_ok=True)
    with (study_file().parent / f"{key}.lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(ParamsError, match="running already"):
            tune("popularity", PARAMS, project, 7)


def test_what_cannot_be_searched_is_said(tmp_path: Path) -> None:
    with pytest.raises(ParamsError, match="'hybrid' is no matcher with settings to be tried; expected one of"):
        tune("hybrid", PARAMS, tmp_path, 3)
    with pytest.raises(ParamsError, match="--trials 0: expected at least 1"):
        tune("ease", PARAMS, tmp_path, 0)
    with pytest.raises(DataError, match="is missing; run `dvc repro`"):
        tune("ease", PARAMS, tmp_path, 3)
    with pytest.raises(DataError, match="--public and --data belong together"):
        tune("ease", PARAMS, tmp_path, 3, public="tiktok")


@pytest.mark.parametrize("matcher", SPACES)
def test_every_space_names_settings_and_values_that_params_take(matcher: str) -> None:
    params = MatchingParams()
    assert settings_now(params, matcher) is not None  # the defaults can be found
    for name, among in SPACES[matcher].items():
        for value in (among.low, among.high) if isinstance(among, Numbers) else among:
            assert getattr(getattr(with_settings(params, matcher, {name: value}), matcher), name) == value


def test_settings_that_do_not_go_together_are_said() -> None:
    small = parse_params({"matching": {"two_tower": {"compression": {"dim": 48}}}}).matching
    with pytest.raises(ParamsError, match=r"compression.dim 48 must be below dim 32"):
        with_settings(small, "two_tower", {"dim": 32})


def test_every_way_to_make_towers_smaller_is_a_row_and_a_run(
    project: Path, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    towers = TwoTowerParams(dim=16, epochs=1, batch_size=512)
    params = PARAMS.model_copy(update={"matching": MatchingParams(two_tower=towers)})
    rows = {row.name: row for row in compress(params, project)}
    said = capsys.readouterr().out
    trained = rows["as trained"]
    assert trained.against is None
    for name, row in rows.items():
        assert name in said
        assert row.list_ms > 0 and row.people_s > 0
        if name != "as trained":
            assert name.startswith("TFLite") or row.bytes < trained.bytes  # a file for a device holds its program too
            assert row.against is not None
            assert row.against.difference.mean == pytest.approx(row.quality - trained.quality)
    assert rows["int8"].bytes < rows["float16"].bytes
    assert rows["distilled to 4"].compression.dim == 4
    client = server.connect()
    (study,) = client.search_runs([server.experiment_id(client)], "tags.`avrec.study` != '' and "
                                  "attributes.run_name = 'compress project'")  # fmt: skip
    found = client.search_runs([server.experiment_id(client)], f"tags.`mlflow.parentRunId` = '{study.info.run_id}'")
    assert {run.info.run_name: run.data.metrics["bytes"] for run in found} == {n: r.bytes for n, r in rows.items()}
    assert [file.path for file in client.list_artifacts(study.info.run_id)] == ["compression.txt"]


def test_a_trial_told_again_is_the_same_run(home: Path) -> None:
    study = Study(server.connect(), "some", "some study")
    run = study.trial("0", "first", {"dim": 3}, {"ndcg@10": 0.5})
    assert Study(server.connect(), "some", "some study").trial("0", "first", {"dim": 3}, {"ndcg@10": 0.5}) == run
