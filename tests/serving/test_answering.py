"""Requests in, lists out: directly, as a pyfunc, and through `mlflow models serve`."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from typer.testing import CliRunner

from avrec.cli import app
from avrec.errors import DataError
from avrec.features.base import Features
from avrec.features.encoder import multilingual
from avrec.matching.content import Content
from avrec.matching.data import Histories
from avrec.matching.loading import catalog_of, load_interactions
from avrec.params import ContentParams
from avrec.privacy.pseudonyms import Pseudonyms
from avrec.recommend.bundle import write_bundle
from avrec.registry.hashing import dvc_md5
from avrec.schema import INTERACTIONS, ITEMS
from avrec.search.index import ITEM_COLUMNS, Channel, SearchIndex
from avrec.serving.answering import Answerer, Request
from avrec.serving.local import asked_of, recommend

ITEM_COUNT = 30


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A content model over thirty items in three groups; users u0 to u5 like one group each."""
    rng = np.random.default_rng(5)
    group = np.arange(ITEM_COUNT) % 3
    items = ITEMS.conform(pa.table({
        "item_id": [f"i{i:02d}" for i in range(ITEM_COUNT)],
        "media_type": ["video" if i < 20 else "podcast" for i in range(ITEM_COUNT)],
        "title": [f"Titel {i} 片" for i in range(ITEM_COUNT)],
        "category": [("cats", "cooking", "football")[g] for g in group],
        "language": ["de" if i % 2 else "zh" for i in range(ITEM_COUNT)],
    }))  # fmt: skip
    centres = rng.normal(size=(3, 6))
    vectors = (centres[group] + 0.1 * rng.normal(size=(ITEM_COUNT, 6))).astype(np.float32)
    catalog = catalog_of(items, {"text": Features("text", vectors, np.ones(ITEM_COUNT, np.bool_))})
    rows = [(f"u{u}", f"i{3 * n + u % 3:02d}") for u in range(6) for n in range(3)]
    table = INTERACTIONS.conform(pa.table({
        "user_id": [r[0] for r in rows],
        "item_id": [r[1] for r in rows],
        "timestamp": [datetime(2026, 1, 1, hour=i, tzinfo=UTC) for i in range(len(rows))],
        "event": ["finish"] * len(rows),
        "label": ["positive"] * len(rows),
        "weight": pa.array([1.0] * len(rows), pa.float32()),
    }))  # fmt: skip
    train = load_interactions(table, catalog)
    matcher = Content(ContentParams())
    matcher.fit(catalog, train)
    folder = tmp_path_factory.mktemp("serving") / "bundle"
    histories = Histories.from_interactions(train, np.arange(train.n_users, dtype=np.int32))
    info: dict[str, Any] = {"settings": {}, "trained_from": None, "trained_through": None, "k": 10}
    info["dataset"] = {"source": "folder", "synthetic": True, "as_of": None}
    search = folder.parent / "search"
    index_of(items).save(search)
    write_bundle(folder, items=items, features=catalog.features, matchers={"content": matcher}, serve="content",
                 histories=histories, user_ids=train.user_ids, info=info, search=search)  # fmt: skip
    return folder


def index_of(items: pa.Table) -> SearchIndex:
    """An index of what the items' categories say."""
    vectors = multilingual().encode([f"a film about {category}" for category in items["category"].to_pylist()])
    rows = np.arange(items.num_rows, dtype=np.int32)
    zeros = np.zeros(items.num_rows, np.float32)
    words = Channel(rows, zeros, zeros + 9, np.ones(items.num_rows, np.bool_), vectors.astype(np.float16))
    table = pa.table({name: items[name] for name in ("item_id", "title", "media_type")})
    for field in list(ITEM_COLUMNS)[3:]:
        table = table.append_column(field, pa.nulls(items.num_rows, field.type))
    return SearchIndex(table, {"words": words}, {}, {}, {"items": items.num_rows})


@pytest.fixture(scope="session")
def answerer(bundle: Path) -> Answerer:
    return Answerer.load(bundle)


def ids(answer: dict[str, Any]) -> list[str]:
    return [item["item_id"] for item in answer["items"]]


def test_a_known_user_gets_what_they_have_not_seen(answerer: Answerer) -> None:
    answer = answerer.answer([{"user_id": "u0", "k": 5}])[0]
    assert answer["user_id"] == "u0" and answer["known"]
    assert not {"i00", "i03", "i06"} & set(ids(answer))
    assert all(int(item[1:]) % 3 == 0 for item in ids(answer))
    first = answer["items"][0]
    assert (first["rank"], first["reason_kind"]) == (1, "text")
    assert first["reason_item_id"] in {"i00", "i03", "i06"}
    assert [i["score"] for i in answer["items"]] == sorted((i["score"] for i in answer["items"]), reverse=True)


def test_a_history_says_the_same_as_its_user(answerer: Answerer) -> None:
    by_user, by_history = answerer.answer([{"user_id": "u1", "k": 7}, {"history": ["i01", "i04", "i07"], "k": 7}])
    assert ids(by_user) == ids(by_history)
    assert not by_history["known"]


def test_an_unknown_user_and_nobody_get_a_list(answerer: Answerer) -> None:
    unknown, nobody = answerer.answer([{"user_id": "stranger"}, {}])
    assert not unknown["known"] and len(unknown["items"]) == 10
    assert ids(unknown) == ids(nobody)


def test_filters_hold(answerer: Answerer) -> None:
    filters = {"media_types": ["podcast"], "categories": ["cats", "cooking"], "languages": ["zh"], "exclude": ["i24"]}
    answer = answerer.answer([{"user_id": "u0", "k": 30, "filters": filters}])[0]
    found = {int(item[1:]) for item in ids(answer)}
    assert found == {i for i in range(20, 30) if i % 3 < 2 and i % 2 == 0 and i != 24}
    assert answerer.answer([{"k": 3, "filters": {"media_types": ["movie"]}}])[0]["items"] == []


def with_rules(answerer: Answerer, **lists: Any) -> Answerer:
    """The same model with rules of its own; even items are unsafe, `i01` is withdrawn."""
    bundle = answerer.bundle
    gone = [datetime(2026, 1, 2, tzinfo=UTC) if i == 1 else None for i in range(ITEM_COUNT)]
    column = pa.array(gone, ITEMS.schema.field("available_until").type)
    items = bundle.items.set_column(bundle.items.column_names.index("available_until"), "available_until", column)
    unsafe = np.where(np.arange(ITEM_COUNT) % 2 == 0, 0.9, np.nan).astype(np.float32)
    return Answerer(replace(bundle, items=items, unsafe=unsafe, info={**bundle.info, "lists": lists}))


def categories(answerer: Answerer, answer: dict[str, Any]) -> list[int]:
    return np.bincount([int(item[1:]) % 3 for item in ids(answer)], minlength=3).tolist()


def test_the_model_keeps_its_rules_and_a_request_may_narrow_them(answerer: Answerer) -> None:
    ruled = with_rules(answerer, max_per_category=2, max_unsafe=0.5, media_types=["video"], diversity=0.0)
    answer = ruled.answer([{"user_id": "u0", "k": 6}])[0]
    assert categories(ruled, answer) == [2, 2, 2]
    assert all(int(item[1:]) % 2 == 1 and int(item[1:]) < 20 for item in ids(answer))
    assert "i01" not in ids(answer)  # nothing is listed that was withdrawn
    asked = {"max_unsafe": 1.0, "media_types": ["podcast"]}
    wide = ruled.answer([{"history": ["i02"], "k": 5, "filters": asked, "max_per_category": 5}])[0]
    narrow = ruled.answer([{"history": ["i00"], "k": 5, "max_per_category": 1}])[0]
    assert set(ids(wide)) <= {"i21", "i23", "i25", "i27", "i29"}  # safety is the model's, never wider
    assert categories(ruled, narrow)[1:] != [0, 0]
    then = ruled.answer([{"k": 30, "filters": {"at": "2026-01-01T00:00:00Z"}}])[0]
    assert "i01" in ids(then)


def test_diversity_can_be_asked_for(answerer: Answerer) -> None:
    plain, spread = answerer.answer([{"user_id": "u0", "k": 6}, {"user_id": "u0", "k": 6, "diversity": 0.9}])
    assert categories(answerer, plain) == [6, 0, 0]
    assert max(categories(answerer, spread)) < 6


def test_what_was_watched_leads_to_what_may_be_heard(answerer: Answerer) -> None:
    """From videos of one kind to podcasts of the same kind, with the video as the reason."""
    answer = answerer.answer([{"history": ["i02", "i05"], "k": 3, "filters": {"media_types": ["podcast"]}}])[0]
    assert set(ids(answer)) <= {"i20", "i23", "i26", "i29"} and len(answer["items"]) == 3
    assert {item["reason_item_id"] for item in answer["items"]} <= {"i02", "i05"}


def test_more_like_this_is_the_history_of_one_item(answerer: Answerer) -> None:
    answer = recommend(answerer, None, ["i04"], 4, asked_of(media_types=["video"], diversity=0.0))
    assert len(answer["items"]) == 4
    assert all(int(item["item_id"][1:]) % 3 == 1 and item["reason_item_id"] == "i04" for item in answer["items"])


def test_words_and_spoken_requests_search(answerer: Answerer) -> None:
    cooking = {f"i{i:02d}" for i in range(1, ITEM_COUNT, 3)}
    by_text, by_voice = answerer.answer(
        [{"text": "做菜", "k": 5}, {"spoken": "play three videos about cooking", "history": ["i00"], "k": 3}]
    )
    assert set(ids(by_text)) <= cooking and len(by_text["items"]) == 5
    assert by_text["items"][0]["reason_kind"] == "search"
    assert (by_text["items"][0]["start_s"], by_text["items"][0]["end_s"]) == (0.0, 9.0)
    assert set(ids(by_voice)) <= cooking
    assert by_voice["answer"].startswith("I found 3 items. First Titel")
    filtered = answerer.answer([{"text": "cats", "filters": {"media_types": ["podcast"]}, "k": 3}])[0]
    assert set(ids(filtered)) <= {"i21", "i24", "i27"}


def test_a_bundle_without_an_index_says_so(bundle: Path, tmp_path: Path) -> None:
    shutil.copytree(bundle, tmp_path / "bundle")
    shutil.rmtree(tmp_path / "bundle" / "search")
    bare = Answerer.load(tmp_path / "bundle")
    assert bare.answer([{"k": 3}])[0]["items"]
    with pytest.raises(DataError, match="without a search index"):
        bare.answer([{"text": "cats"}])


def test_data_frames_with_gaps_are_understood(answerer: Answerer) -> None:
    frame = pd.DataFrame([{"user_id": "u2", "k": np.int64(2)}, {"history": np.array(["i02"]), "k": np.nan}])
    first, second = answerer.answer(frame)
    assert len(first["items"]) == 2 and len(second["items"]) == 10


@pytest.mark.parametrize(
    ("request_", "match"),
    [
        ({"history": ["nowhere"]}, r"request 0: history: items \['nowhere'\]"),
        ({"text": "x" * 501}, "text: expected 1 to 500 characters"),
        ({"spoken": " "}, "spoken: expected 1 to 500 characters"),
        ({"text": "a", "spoken": "b"}, "one of them"),
        ({"k": 0}, "whole number from 1"),
        ({"k": 10**9}, "whole number from 1"),
        ({"k": 2.5}, "whole number from 1"),
        ({"k": "many"}, "whole number from 1"),
        ({"history": "i00"}, "list of strings"),
        ({"history": [1, 2]}, "list of strings"),
        ({"user_id": 7}, "user_id: expected a string"),
        ({"filters": {"colour": ["red"]}}, "unknown names"),
        ({"filters": "not json"}, "filters: expected an object"),
        ({"filters": ["x"]}, "filters: expected an object"),
        ({"users": ["u1"]}, "unknown fields"),
        ({"user_id": "u" * 513}, "at most 512 characters"),
        ({"history": ["i" * 513]}, "at most 512 characters"),
        ({"filters": {"exclude": ["i" * 513]}}, "at most 512 characters"),
        ({"filters": {"max_unsafe": 2}}, "filters.max_unsafe: expected a number from 0 to 1"),
        ({"filters": {"at": "soon"}}, "filters.at: expected an instant"),
        ({"diversity": "much"}, "diversity: expected a number from 0 to 1"),
        ({"max_per_category": 0}, "max_per_category: expected a whole number from 1"),
    ],
)
def test_a_wrong_request_names_its_field(answerer: Answerer, request_: dict[str, Any], match: str) -> None:
    with pytest.raises(DataError, match=match):
        answerer.answer([request_])


def test_too_many_at_once_are_refused(answerer: Answerer) -> None:
    with pytest.raises(DataError, match="at most 1000 rows"):
        answerer.answer([{}] * 1001)
    with pytest.raises(DataError, match="at most 10000 entries"):
        Request.parse({"history": ["i00"] * 10_001})


def test_a_changed_bundle_is_not_loaded(bundle: Path) -> None:
    assert Answerer.load(bundle, dvc_md5(bundle)).bundle.synthetic
    with pytest.raises(DataError, match="was changed"):
        Answerer.load(bundle, "0" * 32 + ".dir")


def test_raw_ids_become_pseudonyms(answerer: Answerer, home: Path) -> None:
    assert recommend(answerer, "u3", None, 4)["known"]
    Pseudonyms.of_home()
    assert recommend(answerer, "anna", None, 4)["user_id"] == Pseudonyms.of_home().of("anna")
    assert ids(recommend(answerer, None, ["i00", " i03 "], 4))
    with pytest.raises(DataError, match="got none"):
        recommend(answerer, None, ["", " "], 4)


def test_the_command_wants_one_question(home: Path) -> None:
    runner = CliRunner()
    assert "Give one of" in str(runner.invoke(app, ["recommend"]).exception)
    assert "Give one of" in str(runner.invoke(app, ["recommend", "--user", "a", "--history", "b"]).exception)
    assert "no version or alias" in str(runner.invoke(app, ["recommend", "--user", "a"]).exception)


@pytest.fixture
def saved(bundle: Path, tmp_path: Path) -> Path:
    """The pyfunc on disk, as `avrec.registry.model.log_model` logs it."""
    import mlflow.pyfunc

    from avrec.registry.model import ARTIFACT, BUNDLE_HASH, CODE, input_example, requirements, signature

    folder = tmp_path / "model"
    mlflow.pyfunc.save_model(
        str(folder), python_model=str(CODE), artifacts={ARTIFACT: str(bundle)}, signature=signature(),
        model_config={BUNDLE_HASH: dvc_md5(bundle)}, pip_requirements=requirements(),
        input_example=pd.DataFrame(input_example(bundle)),
    )  # fmt: skip
    return folder


def test_it_answers_through_mlflow_models_serve(saved: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "mlflow", "models", "serve", "-m", str(saved), "--env-manager", "local",
               "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]  # fmt: skip
    quiet = {
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }
    server = subprocess.Popen(command, env={**os.environ, **quiet}, start_new_session=True, cwd=saved.parent)
    try:
        wait_for(f"http://127.0.0.1:{port}/ping", server)
        url = f"http://127.0.0.1:{port}/invocations"
        rows = [
            {"user_id": "u0", "k": 3, "history": None, "filters": None},
            {"user_id": None, "k": 2, "history": ["i01"], "filters": {"media_types": ["video"]}},
        ]
        status, body = post(url, {"dataframe_records": rows})
        assert status == 200
        assert [len(answer["items"]) for answer in body["predictions"]] == [3, 2]
        assert body["predictions"][0]["items"][0]["reason_kind"] == "text"
        status, body = post(url, {"dataframe_records": [{"history": ["nowhere"]}]})
        assert status == 400 and "nowhere" in json.dumps(body)
        assert post(url, json.loads((saved / "serving_input_example.json").read_text()))[0] == 200
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait(30)


def wait_for(url: str, server: subprocess.Popen[bytes]) -> None:
    for _ in range(240):
        assert server.poll() is None, "the server ended"
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except OSError:
            time.sleep(0.5)
    raise AssertionError(f"{url} does not answer")


def post(url: str, body: dict[str, Any]) -> tuple[int, Any]:
    data = json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=60) as response:
            return response.status, json.load(response)
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read())
