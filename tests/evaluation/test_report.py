"""The files of an evaluation, from a small real data set on disk through the stage itself."""

from __future__ import annotations

import contextlib
import csv
import hashlib
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sklearn.decomposition import PCA

from avrec.datasets.dataset import Dataset, DatasetMeta, write_meta, write_table
from avrec.evaluation.ablation import hidden, views
from avrec.evaluation.markdown import comparison_markdown
from avrec.evaluation.plots import loss, principal_plane
from avrec.evaluation.protocol import TestSet, evaluate_all
from avrec.evaluation.report import comparison, rounded
from avrec.features.base import Features
from avrec.matching.data import Catalog
from avrec.matching.loading import load_catalog, load_split
from avrec.matching.registry import SINGLE, load_matcher
from avrec.matching.spreading import METHODS
from avrec.matching.training import train_hybrid, train_matcher
from avrec.params import EvaluationParams, MatchingParams, Params
from avrec.schema import FEATURES, INTERACTIONS
from pipelines import evaluate as stage

N_ITEMS, N_USERS = 40, 60
PARAMS = Params(
    matching=MatchingParams(two_tower={"enabled": False}),
    evaluation=EvaluationParams(ks=(5, 10), primary_k=10, bootstrap=200),
)
MATCHERS = ["popularity", "content", "content+shuffled", "ease", "hybrid", "hybrid+shuffled"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Data, features and models as the earlier stages leave them, and the stage run once."""
    folder = tmp_path_factory.mktemp("checkout")
    with contextlib.chdir(folder):
        _write_data(np.random.default_rng(1))
        _train()
        stage.work(PARAMS)
    return folder


@pytest.fixture
def checkout(trained: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(trained)
    return trained


def _train() -> None:
    catalog = load_catalog(Dataset(Path("data/valid")), Path("data/features"))
    split = load_split(Path("data/split"), catalog)
    models, training = Path("artifacts/models"), Path("artifacts/training")
    for name in ("popularity", "content", "ease"):
        _write_json(training / f"{name}.json", train_matcher(name, PARAMS.matching, catalog, split, models / name))
    for name in set(SINGLE) - {"popularity", "content", "ease"}:
        _write_json(models / name / "settings.json", {"name": name, "disabled": True})
        _write_json(training / f"{name}.json", {"disabled": True, "settings": {}, "epochs": [], "val": {}})
    _write_json(training / "hybrid.json", train_hybrid(PARAMS.matching, catalog, split, models, models / "hybrid"))


def _write_data(rng: np.random.Generator) -> None:
    ids = [f"i{i}" for i in range(N_ITEMS)]
    folder = Path("data/valid")
    write_meta(folder, DatasetMeta("demo", True, "2026-03-01T00:00:00Z", True, None, "0" * 16))
    kinds = ["jazz" if i % 2 else "cats" for i in range(N_ITEMS)]
    write_table(folder, "items", pa.table({"item_id": ids, "media_type": ["video"] * N_ITEMS, "category": kinds}))
    pairs = [(u, int(i)) for u in range(N_USERS) for i in rng.choice(N_ITEMS, 14, replace=False)]
    rng.shuffle(pairs)
    late = [p for p in pairs if p[1] >= N_ITEMS - 6]  # the newest items: in nobody's training
    ordered = [p for p in pairs if p[1] < N_ITEMS - 6] + late
    labels = ["positive" if (u + i) % 2 else "negative" for u, i in ordered]
    table = INTERACTIONS.conform(
        pa.table(
            {
                "user_id": [f"u{u}" for u, _ in ordered],
                "item_id": [f"i{i}" for _, i in ordered],
                "timestamp": pa.array(np.arange(len(ordered)) * 3_600_000_000, pa.timestamp("us", "UTC")),
                "event": ["view"] * len(ordered),
                "label": labels,
                "weight": [1.0] * len(ordered),
            }
        )
    )
    a, b = int(len(ordered) * 0.6), int(len(ordered) * 0.75)
    Path("data/split").mkdir(parents=True)
    for name, part in (("train", table[:a]), ("val", table[a:b]), ("test", table[b:])):
        pq.write_table(part, f"data/split/{name}.parquet")
    _write_json(Path("data/split/slices.json"), {"light_users": [f"u{u}" for u in range(10)]})
    rows = {"item_id": ids, "vector": rng.normal(size=(N_ITEMS, 8)).tolist(), "present": [True] * N_ITEMS}
    for modality in ("visual", "text"):
        target = Path(f"data/features/{modality}/features")
        target.mkdir(parents=True)
        rows["present"] = [modality == "text" or i % 3 > 0 for i in range(N_ITEMS)]
        rows["vector"] = [v if p else [] for v, p in zip(rows["vector"], rows["present"], strict=True)]
        pq.write_table(FEATURES.conform(pa.table(rows)), target / "part-00.parquet")
        rows["vector"] = rng.normal(size=(N_ITEMS, 8)).tolist()


def _write_json(path: Path, values: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(values), encoding="utf-8")


def read(path: str) -> dict:
    return json.loads(Path(path).read_text(encoding="utf-8"))


def test_the_stage_writes_all_that_others_read(checkout: Path) -> None:
    found = read("artifacts/evaluation.json")
    assert found["synthetic"] is True
    assert found["primary"] == "ndcg@10"
    assert sorted(found["matchers"]) == sorted(MATCHERS)
    assert found["best_single"] in ("popularity", "content", "ease")
    slices = {"all", "cold_all", "cold_only", "light_users", "missing_modality", "category=cats", "category=jazz"}
    assert set(found["counts"]) == slices
    names = ("recall", "precision", "f1", "ndcg", "map", "mrr", "hit_rate", "coverage", "novelty", "gini", "ild")
    for per_slice in found["matchers"].values():
        assert set(per_slice) == slices
        assert set(per_slice["all"]) == {f"{name}@{k}" for name in names for k in (5, 10)}
        assert set(per_slice["category=jazz"]) == {f"{name}@10" for name in names}
    assert found["decision"]["ease"]["positives"] > 0
    assert found["decision"]["ease"]["majority"]["accuracy"] > 0
    lower, upper = found["intervals"]["ease"]["all"]["ndcg@10"]
    assert lower < found["matchers"]["ease"]["all"]["ndcg@10"] < upper
    assert read("artifacts/evaluation/test_period.json")["from"].startswith("1970-01-")
    compared = read("artifacts/evaluation/comparison.json")
    assert set(compared) == {*MATCHERS} - {"hybrid"}
    for other, slices in compared.items():
        for name, values in slices.items():
            mine, theirs = (found["matchers"][m][name]["ndcg@10"] for m in ("hybrid", other))
            assert values["difference"] == pytest.approx(mine - theirs, abs=2e-6)
            assert values["lower"] <= values["difference"] <= values["upper"]


def test_people_stand_behind_every_mean(checkout: Path) -> None:
    found = read("artifacts/evaluation.json")
    table = pq.read_table("artifacts/evaluation/per_user.parquet").to_pandas()
    means = table.groupby(["matcher", "slice"])["ndcg@10"].agg(["mean", "size"])
    for (matcher, name), row in means.iterrows():
        assert row["mean"] == pytest.approx(found["matchers"][matcher][name]["ndcg@10"], abs=1e-6)
        assert row["size"] == found["counts"][name]
    people = [g["user_id"].tolist() for _, g in table[table["slice"] == "all"].groupby("matcher")]
    assert people[0] == people[1]


def test_equal_inputs_give_equal_bytes(checkout: Path) -> None:
    def hashes() -> dict[str, str]:
        files = sorted(p for p in Path("artifacts").rglob("*") if p.is_file())
        return {str(p): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}

    first = hashes()
    stage.work(PARAMS)
    assert hashes() == first


def test_without_a_hybrid_there_is_nothing_to_compare(checkout: Path) -> None:
    on = TestSet.read(Path("data/valid"), Path("data/split"), Path("data/features"))
    model = load_matcher(Path("artifacts/models/ease"), on.catalog)
    evaluated = evaluate_all([("ease", model), ("ease+shuffled", model)], on, PARAMS.evaluation)
    assert evaluated.best_single == "ease"
    assert comparison(evaluated) == {}
    same = comparison(evaluated, "ease")["ease+shuffled"]["all"]
    assert same["difference"] == same["lower"] == same["upper"] == 0
    assert same["users"] == len(on.slices[0])


def test_the_page_shows_challenger_and_champion(checkout: Path) -> None:
    page = comparison_markdown(read("artifacts/evaluation.json"), read("artifacts/evaluation.json"))
    assert "**Synthetic data" in page
    assert "| challenger | champion | content | ease | popularity | content+shuffled | hybrid+shuffled |" in page
    assert "| cold_only |" in page
    assert "| always the majority |" in page


def _rows(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(path.read_text(encoding="utf-8").splitlines()))


def test_plots_are_tidy(checkout: Path) -> None:
    rows = {p.stem: _rows(p) for p in sorted(Path("artifacts/plots").glob("*.csv"))}
    assert set(rows) == {"calibration", "diversity", "loss", "per_category", "recall_by_k"}
    for method in METHODS:
        curve = [row for row in rows["diversity"] if row["spread"] == method]
        assert [curve[0][name] for name in ("diversity", "ild_ratio", "ndcg_ratio")] == ["0.0", "1.0", "1.0"]
        assert len({row["ild"] for row in curve}) > 1  # the strength changes the lists
    assert read("artifacts/evaluation.json")["diversity"]["ndcg_ratio"] >= 0.98
    assert [r["k"] for r in rows["recall_by_k"] if r["matcher"] == "ease"] == ["5", "10"]
    assert {r["category"] for r in rows["per_category"]} == {"cats", "jazz"}
    assert all(0 <= float(r["observed"]) <= 1 for r in rows["calibration"])
    projected = _rows(Path("artifacts/evaluation/projection.csv"))
    assert [r["item_id"] for r in projected] == [f"i{i}" for i in range(N_ITEMS)]


def test_only_matchers_that_report_a_loss_are_in_the_loss_plot() -> None:
    training = {
        "ease": {"epochs": [{"l2": 10.0, "ndcg@20": 0.1}]},
        "two_tower": {"epochs": [{"loss": 2.0, "ndcg@20": 0.1}, {"loss": 1.0, "ndcg@20": 0.2}]},
        "content": {"disabled": True},
    }
    assert loss(training)[1:] == [
        ["two_tower", 1, "loss", 2.0],
        ["two_tower", 1, "ndcg@20", 0.1],
        ["two_tower", 2, "loss", 1.0],
        ["two_tower", 2, "ndcg@20", 0.2],
    ]


def test_the_projection_is_the_principal_plane() -> None:
    rng = np.random.default_rng(4)
    vectors = (rng.normal(size=(80, 12)) * np.linspace(3, 0.5, 12)).astype(np.float32)
    ours, theirs = principal_plane(vectors), PCA(2, svd_solver="full").fit_transform(vectors.astype(np.float64))
    np.testing.assert_allclose(np.abs(ours), np.abs(theirs), atol=1e-3)
    longest = np.abs(ours).argmax(axis=0)
    assert (ours[longest, [0, 1]] > 0).all()


def test_a_line_has_a_projection_too() -> None:
    points = principal_plane(np.arange(5, dtype=np.float32)[:, None])
    np.testing.assert_allclose(np.abs(points[:, 0]), [2, 1, 0, 1, 2], atol=1e-9)
    np.testing.assert_allclose(points[:, 1], 0)


def test_what_has_no_value_is_left_out() -> None:
    assert rounded({"a": float("nan"), "b": {"c": 1 / 3}, "d": 2}) == {"b": {"c": 0.333333}, "d": 2}


def test_markdown_without_champion_and_true_negatives() -> None:
    page = comparison_markdown(
        {
            "primary": "ndcg@10",
            "matchers": {"hybrid": {"all": {"ndcg@10": 0.5}}, "a|b": {"all": {"ndcg@10": 0.25}}},
            "counts": {"all": 7, "category=x|y": 2},
            "intervals": {"hybrid": {"all": {"ndcg@10": [0.4, 0.6]}}},
            "decision": {"hybrid": "n/a"},
        }
    )
    assert "| NDCG@10 | 0.5000 (0.4000 to 0.6000) | 0.2500 |" in page
    assert "category=x\\|y" in page
    assert "champion" not in page
    assert "n/a: the data set has no true negatives." in page
    assert "ynthetic" not in page


def test_a_catalogue_without_features_has_no_projection() -> None:
    from avrec.evaluation.plots import projection

    codes = np.full(3, -1, np.int32)
    none: dict[str, Features] = {}
    catalog = Catalog(("a", "b", "c"), np.zeros(3, np.int64), codes, codes, ("video",) * 3, none)
    assert projection(catalog, (None, None, None)) == [["item_id", "x", "y", "category"]]


def test_the_ablation_has_every_view_and_those_that_must_agree_do(trained: Path) -> None:
    table = json.loads((trained / "artifacts/evaluation/ablation.json").read_text("utf-8"))
    said = json.loads((trained / "artifacts/evaluation.json").read_text("utf-8"))["matchers"]
    assert set(table) == {"content", "hybrid"}
    modalities = sorted(path.name for path in (trained / "data/features").iterdir())
    alone = {f"{name}_alone" for name in modalities} | {f"without_{name}" for name in modalities}
    for matcher, seen in table.items():
        assert set(seen) == {"everything", "shuffled", "nothing", *(alone if len(modalities) > 1 else ())}
        assert seen["everything"]["all"]["ndcg@10"] == said[matcher]["all"]["ndcg@10"]
        assert seen["shuffled"]["all"]["ndcg@10"] == said[f"{matcher}+shuffled"]["all"]["ndcg@10"]
        assert seen["nothing"]["all"] != seen["everything"]["all"]


def test_what_is_hidden_is_missing_and_nothing_else() -> None:
    features = {
        name: Features(name, np.ones((3, 2), np.float32), np.array([True, True, False])) for name in ("audio", "visual")
    }
    none = np.zeros(3, np.int32)
    catalog = Catalog(("a", "b", "c"), none.astype(np.int64), none, none, ("video",) * 3, features)
    seen = hidden(catalog, {"visual"})
    assert seen.features["visual"] is features["visual"]
    assert not seen.features["audio"].present.any()
    assert not seen.features["audio"].vectors.any()
    assert [name for name, _ in views(features)] == [
        "audio_alone", "visual_alone", "without_audio", "without_visual", "nothing",
    ]  # fmt: skip
    assert [name for name, _ in views(["audio"])] == ["nothing"]
