"""The pseudonym key must not matter: two homes with two keys compute the same figures."""

from __future__ import annotations

import random
import shutil
from pathlib import Path
from typing import Any

import pytest

from avrec.datasets.dataset import Dataset
from avrec.datasets.importing import import_source
from avrec.evaluation.protocol import TestSet, evaluate_all
from avrec.evaluation.report import evaluation
from avrec.matching import loading
from avrec.matching.registry import build
from avrec.params import Params
from pipelines import split as split_stage


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Forty people who like one of three kinds of items, most of the time."""
    draw, lines = random.Random(3), ["user_id,item_id,timestamp,event"]
    for minute in range(1600):
        person = draw.randrange(40)
        kind = person % 3 if draw.random() < 0.8 else draw.randrange(3)
        lines.append(f"person {person},i{kind * 10 + draw.randrange(10)},{1_760_000_000 + minute * 600},like")
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "interactions.csv").write_text("\n".join(lines))
    items = ["item_id,title", *(f"i{n},Title {n}" for n in range(30))]
    (tmp_path / "in" / "items.csv").write_text("\n".join(items))
    return tmp_path / "in"


def figures(folder: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[set[str], dict[str, Any]]:
    """The people's pseudonyms in a home, and everything that is reported of a run there."""
    (home / "data").mkdir(parents=True)
    monkeypatch.chdir(home)
    monkeypatch.setenv("AVREC_HOME", str(home / "var"))
    Path("params.yaml").write_text("dataset: {source: demo}\n")
    shutil.copytree(home / "var" / "imports" / import_source("folder", folder), "data/valid")
    params = Params()
    split_stage.work(params)
    valid = Dataset("data/valid")
    catalog = loading.catalog_of(valid.table("items"), {})
    split = loading.load_split(Path("data/split"), catalog)
    matchers = []
    for name in ("popularity", "ease"):
        matcher = build(name, params.matching)
        matcher.fit(catalog, split.train, split.val)
        matchers.append((name, matcher))
    evaluated = evaluate_all(matchers, TestSet.of(catalog, split, (None,) * len(catalog)), params.evaluation)
    return set(split.user_ids), evaluation(evaluated, synthetic=True)


def test_two_keys_give_the_same_metrics(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    people, one = figures(folder, tmp_path / "one", monkeypatch)
    others, two = figures(folder, tmp_path / "two", monkeypatch)
    assert not people & others
    assert one["matchers"]["ease"]["all"]["ndcg@10"] > one["matchers"]["popularity"]["all"]["ndcg@10"]
    assert one == two
