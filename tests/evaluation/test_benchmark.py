"""Benchmarks on public data: the layout, the cross-fit, the table and its JSON."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from avrec.errors import DataError
from avrec.evaluation.benchmark import Entry, against, chosen_matchers, folds, run_benchmark
from avrec.evaluation.chance import Chance
from avrec.evaluation.public import load_movielens, load_tiktok
from avrec.matching.data import Histories
from avrec.matching.fusion import FUSIONS
from avrec.matching.registry import MATCHERS, SINGLE
from avrec.params import load_params

FAST = "matching:\n  two_tower: {enabled: false, epochs: 1}\n  ease: {l2: 20.0}\n"
QUICK = ("popularity", "content", "ease")


@pytest.fixture
def tiktok(tmp_path: Path) -> Path:
    """The layout of the real one: groups of people who like the items of their group, some items never in train."""
    rng = np.random.default_rng(0)
    folder = tmp_path / "tiktok"
    folder.mkdir()
    n_users, n_items = 80, 140
    group = rng.integers(0, 3, n_users)
    seen: dict[int, list[int]] = {u: rng.choice(np.arange(group[u], 50, 3), 9, False).tolist() for u in range(n_users)}
    parts = {"train": {u: items[:7] for u, items in seen.items()}, "val": {u: seen[u][7:] for u in range(0, 80, 2)}}
    for u in range(0, 80, 4):
        parts["val"][u] = [*parts["val"][u], int(rng.choice(np.arange(51 + group[u], n_items, 3)))]
    for name, rows in parts.items():
        lines = [f"{u},{i}" for u, items in rows.items() for i in items]
        (folder / f"{name}.csv").write_text("\n".join(["user_id,item_id", *lines]) + "\n")
    vectors = np.eye(3)[np.arange(n_items) % 3] + 0.1 * rng.normal(size=(n_items, 3))
    vectors[5] = 0
    np.save(folder / "image_feat.npy", vectors.astype(np.float16))
    return folder


@pytest.fixture(autouse=True)
def params(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("params.yaml").write_text(FAST)


def test_one_table_and_the_same_as_json(tiktok: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report = run_benchmark("tiktok", tiktok, "val", Path("out/rows.json"), QUICK)
    written = json.loads(Path("out/rows.json").read_text())
    assert written == report
    assert {row["matcher"] for row in written["rows"]} == {"random", "popularity", "content", "ease", "hybrid"}
    for row in written["rows"]:
        assert set(row) == {"matcher", "slice", "recall@20", "ndcg@20", "seconds"}
        assert row["slice"] in ("all", "cold_all", "cold_only")
    assert written["users"] == {"all": 40, "cold_all": 20, "cold_only": 20}
    assert len(written["settings"]["ease"]) == 2  # one for each half
    assert written["tried"]["popularity"] == written["tried"]["random"] == 2
    assert written["tried"]["ease"] > 4
    assert written["tried"]["hybrid"] == 8  # four shares for new items, twice
    printed = capsys.readouterr().out
    for name in ("Recall@20", "NDCG@20", "all (40)", "cold_only (20)", "seconds", "popularity", "ease"):
        assert name in printed


def test_every_matcher_has_a_row_and_the_hybrid_is_made_of_the_enabled(tiktok: Path) -> None:
    rows, blended = chosen_matchers(load_params().matching, None)
    assert rows == list(SINGLE)
    fusions = [f"two_tower/{layer}" for layer in FUSIONS if layer != "gated"]  # gated is that of two_tower itself
    assert set(chosen_matchers(load_params().matching, ["ease", *fusions])[0]) == {"ease", *fusions}
    assert "two_tower" not in blended  # switched off
    assert {"content", "ease", "popularity"} <= set(blended) < set(SINGLE)
    report = run_benchmark("tiktok", tiktok, matchers=[*SINGLE, "two_tower/concat"])
    assert {row["matcher"] for row in report["rows"]} == {"random", *MATCHERS, "two_tower/concat"}
    assert report["settings"]["two_tower"][0]["fusion"] == "gated"
    assert report["settings"]["two_tower/concat"][0]["fusion"] == "concat"
    assert report["settings"]["hybrid"][0]["members"] == sorted(SINGLE)


def test_several_seeds_tell_their_spread_beside_the_rows_of_the_first(
    tiktok: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = ("popularity", "content", "ease")
    one, two = (run_benchmark("tiktok", tiktok, matchers=names, seeds=seeds) for seeds in (1, 2))
    assert two["seeds"] == [7, 8]
    for before, after in zip(one["rows"], two["rows"], strict=True):
        assert {**before, "seconds": 0} == {**after, "seconds": 0}
    found = two["spread"]["hybrid"]["all"]["recall@20"]
    first = next(r["recall@20"] for r in two["rows"] if (r["matcher"], r["slice"]) == ("hybrid", "all"))
    assert found["least"] <= first <= found["most"]
    chance = two["spread"]["random"]["all"]["ndcg@20"]
    assert chance["least"] < chance["mean"] < chance["most"]
    assert "least and most over the seeds 7, 8" in capsys.readouterr().out
    with pytest.raises(DataError, match="--seeds 0: expected at least 1"):
        run_benchmark("tiktok", tiktok, seeds=0)


def test_chance_finds_what_chance_finds(tiktok: Path) -> None:
    public = load_tiktok(tiktok)
    chance = Chance()
    chance.fit(public.catalog, public.train)
    people = Histories.of([[]] * 400, user=list(range(400)))
    items, _ = chance.recommend(people, 20)
    assert np.bincount(items.ravel(), minlength=140).std() < 12  # 57 each, were it exact
    np.testing.assert_array_equal(chance.recommend(people.slice(7, 8), 20)[0][0], items[7])


def test_content_finds_the_new_and_ids_cannot(tiktok: Path) -> None:
    rows = run_benchmark("tiktok", tiktok, matchers=QUICK)["rows"]
    cold = {row["matcher"]: row["ndcg@20"] for row in rows if row["slice"] == "cold_only"}
    assert cold["content"] > 1.3 * cold["ease"]


def test_nobody_is_reported_who_was_chosen_on(tiktok: Path) -> None:
    public = load_tiktok(tiktok)
    both = folds(public, "val", seed=3)
    for fold in both:
        assert not set(fold.choose.user.tolist()) & set(fold.judged.user.tolist())
        assert fold.known is public.train
    judged = np.concatenate([fold.judged.user for fold in both])
    assert sorted(judged.tolist()) == sorted(public.val.user.tolist())


def test_test_needs_its_file(tiktok: Path) -> None:
    with pytest.raises(DataError, match=r"holds no test\.csv. Use --split val"):
        run_benchmark("tiktok", tiktok, "test")
    (tiktok / "test.csv").write_text("user_id,item_id\n1,58\n3,2\n")
    report = run_benchmark("tiktok", tiktok, "test", matchers=QUICK)
    assert report["users"] == {"all": 2, "cold_all": 1, "cold_only": 1}
    assert len(report["settings"]["ease"]) == 1


def test_missing_vectors_and_float16(tiktok: Path) -> None:
    features = load_tiktok(tiktok).catalog.features["visual"]
    assert features.vectors.dtype == np.float32
    assert np.flatnonzero(~features.present).tolist() == [5]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f: (f / "val.csv").unlink(), r"val\.csv is missing"),
        (lambda f: (f / "val.csv").write_text("user,item\n1,2\n"), "column user_id is missing"),
        (lambda f: (f / "val.csv").write_text("user_id,item_id\na,2\n"), "expected whole numbers"),
        (lambda f: (f / "val.csv").write_text("user_id,item_id\n-1,2\n"), "numbers from 0"),
        (lambda f: np.save(f / "image_feat.npy", np.ones((3, 2))), "3 rows for 140 items"),
        (lambda f: np.save(f / "image_feat.npy", np.ones(3)), r"expected an array \[items, dimensions\]"),
    ],
)
def test_a_folder_that_is_something_else(tiktok: Path, change: object, message: str) -> None:
    change(tiktok)  # type: ignore[operator]
    with pytest.raises(DataError, match=message):
        load_tiktok(tiktok)


def test_unknown_names_and_splits(tiktok: Path) -> None:
    with pytest.raises(DataError, match="expected one of tiktok, movielens"):
        run_benchmark("netflix", tiktok)
    with pytest.raises(DataError, match="no such folder"):
        run_benchmark("tiktok", tiktok / "nowhere")
    with pytest.raises(DataError, match="--split both"):
        run_benchmark("tiktok", tiktok, "both")
    with pytest.raises(DataError, match="--matchers: 'eas' is unknown; expected some of popularity"):
        run_benchmark("tiktok", tiktok, matchers=["eas"])


def test_movielens_is_cut_through_time(shared_data: Path) -> None:
    public = load_movielens(shared_data / "ml-latest-small")
    assert public.test is not None
    assert len(public.train) + len(public.val) + len(public.test) == 100_836
    assert public.train.timestamp.max() < public.val.timestamp.min()
    assert public.val.timestamp.max() < public.test.timestamp.min()
    assert len(public.catalog) == 9742
    assert set(np.unique(public.train.label)) == {-1, 0, 1}


@pytest.mark.parametrize(
    ("ratings", "message"),
    [
        ("1,9,4.0,7\n", r"ratings\.csv: 1 rated movies, the first of them 9, have no row in .*movies\.csv"),
        ("1,2,4.0,7\n1,2,,8\n", "expected a number in every row of rating"),
        ("1,2,4.0,noon\n", "expected a number in every row of timestamp"),
        ("", "at least one row under the header"),
    ],
)
def test_ratings_that_are_something_else(tmp_path: Path, ratings: str, message: str) -> None:
    (tmp_path / "movies.csv").write_text("movieId,title,genres\n2,Heat (1995),Crime|Drama\n")
    (tmp_path / "ratings.csv").write_text("userId,movieId,rating,timestamp\n" + ratings)
    with pytest.raises(DataError, match=message):
        load_movielens(tmp_path)


def test_the_ratio_to_a_baseline_has_paired_bounds() -> None:
    rng = np.random.default_rng(0)
    base = rng.random(400)
    names = ("recall@20", "ndcg@20")
    entries = {
        "ease": Entry({"all": {name: [base] for name in names}}),
        "other": Entry({"all": {name: [1.2 * base + rng.normal(0, 0.01, 400)] for name in names}}),
    }
    found = against(entries, "ease")["other"]["recall@20"]
    assert found["lower"] < found["ratio"] < found["upper"]
    assert found["ratio"] == pytest.approx(1.2, abs=0.01)
    assert found["lower"] > 1.19
    assert against(entries, "hybrid") == {}
