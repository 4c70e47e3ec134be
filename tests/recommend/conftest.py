"""A small data set with taste in it, and real matchers fitted on it."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import sqlalchemy as sa

from avrec.datasets.dataset import Dataset, DatasetMeta, write_meta, write_table
from avrec.features.base import Features
from avrec.matching.data import Histories
from avrec.matching.loading import catalog_of, load_interactions
from avrec.matching.registry import build
from avrec.params import MatchingParams
from avrec.recommend.bundle import Bundle, write_bundle
from avrec.recommend.plan import Plan
from avrec.recommend.publication import Publisher
from avrec.recommend.recipe import Recipe
from avrec.recommend.segments import segments_of
from avrec.recommend.tables import count_users, shard_rows, shards
from avrec.schema import INTERACTIONS, ITEMS, USERS
from tests.postgresql import binaries, server

N_ITEMS, N_USERS, GROUPS = 60, 700, 4
RUN_DATE = date(2026, 3, 1)
START = datetime(2026, 1, 1, tzinfo=UTC)


def items_table() -> pa.Table:
    """60 items in 4 groups; the last is withdrawn before the run date, the one before is published after it."""
    published = [START - timedelta(days=i) for i in range(N_ITEMS)]
    until: list[datetime | None] = [None] * N_ITEMS
    published[-2] = datetime(2026, 3, 5, tzinfo=UTC)
    until[-1] = datetime(2026, 2, 1, tzinfo=UTC)
    return ITEMS.conform(pa.table({
        "item_id": [f"i{i:03d}" for i in range(N_ITEMS)],
        "media_type": ["music" if i % 5 == 0 else "video" for i in range(N_ITEMS)],
        "title": [f"Item {i}" for i in range(N_ITEMS)],
        "category": [f"c{i % GROUPS}" for i in range(N_ITEMS)],
        "published_at": pa.array(published, pa.timestamp("us", tz="UTC")),
        "available_until": pa.array(until, pa.timestamp("us", tz="UTC")),
    }))  # fmt: skip


def interactions_table(rng: np.random.Generator) -> pa.Table:
    rows = []
    for user in range(N_USERS):
        group = user % GROUPS
        own = [i for i in range(N_ITEMS - 2) if i % GROUPS == group]
        for item in rng.choice(own, 5, replace=False).tolist() + rng.choice(N_ITEMS - 2, 2, replace=False).tolist():
            day = int(rng.integers(0, 70))  # some after the run date
            rows.append((f"u{(user * 7919) % N_USERS:04d}", f"i{item:03d}", START + timedelta(days=day, seconds=user),
                         "positive" if item % GROUPS == group else "negative"))  # fmt: skip
    rows.sort(key=lambda row: row[2])
    columns = list(zip(*rows, strict=True))
    return INTERACTIONS.conform(pa.table({
        "user_id": list(columns[0]),
        "item_id": list(columns[1]),
        "timestamp": pa.array(columns[2], pa.timestamp("us", tz="UTC")),
        "event": ["view"] * len(rows),
        "label": list(columns[3]),
        "weight": pa.array([1.0] * len(rows), pa.float32()),
    }))  # fmt: skip


def features_of(rng: np.random.Generator, n: int = N_ITEMS) -> dict[str, Features]:
    found = {}
    for modality in ("visual", "audio", "text"):
        centres = rng.normal(size=(GROUPS, 8))
        vectors = centres[np.arange(n) % GROUPS] + 0.5 * rng.normal(size=(n, 8))
        present = np.arange(n) % 9 != 4
        found[modality] = Features(modality, (vectors * present[:, None]).astype(np.float32), present)
    return found


@pytest.fixture(scope="session")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    folder = tmp_path_factory.mktemp("valid")
    interactions = interactions_table(np.random.default_rng(1))
    write_table(folder, "items", items_table())
    write_table(folder, "interactions", interactions)
    users = sorted(set(interactions["user_id"].to_pylist()))
    # Of user uNNNN the number says the group; half of the groups are of one country, a few people of another.
    group = [pow(7919, -1, N_USERS) * int(user[1:]) % N_USERS % GROUPS for user in users]
    country = ["LI" if row < 5 else ("DE" if g < 2 else "BR") for row, g in enumerate(group)]
    write_table(folder, "users", USERS.conform(pa.table({"user_id": users, "country": country})))
    write_meta(folder, DatasetMeta("demo", True, "2026-03-12T00:00:00Z", True, None, "0" * 16))
    return Dataset(folder)


@pytest.fixture(scope="session")
def bundle_folder(dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bundles") / "bundle"
    make_bundle(dataset, folder, "ease")
    return folder


def make_bundle(dataset: Dataset, folder: Path, serve: str) -> None:
    catalog = catalog_of(dataset.table("items"), features_of(np.random.default_rng(2)))
    interactions = load_interactions(dataset.path("interactions"), catalog)
    matchers = {name: build(name, MatchingParams()) for name in ("popularity", "content", "ease")}
    for matcher in matchers.values():
        matcher.fit(catalog, interactions)
    write_bundle(
        folder,
        items=dataset.table("items"),
        features=catalog.features,
        matchers=matchers,
        serve=serve,
        histories=Histories.from_interactions(interactions, np.arange(interactions.n_users, dtype=np.int32)),
        user_ids=interactions.user_ids,
        segments=segments_of(dataset.table("users"), interactions, len(catalog)),
        info={"settings": {}, "trained_from": None, "trained_through": None, "k": 5,
              "dataset": {"source": "demo", "synthetic": True, "as_of": "2026-03-12T00:00:00Z"}},
    )  # fmt: skip


@pytest.fixture(scope="session")
def bundle(bundle_folder: Path) -> Bundle:
    return Bundle.load(bundle_folder)


def make_plan(dataset: Dataset, version: str = "1", users_per_shard: int = 256, run_date: date = RUN_DATE) -> Plan:
    users = count_users(dataset, run_date)
    return Plan(
        recipe=Recipe(run_date, k=5),
        model_version=version,
        dataset_version="0123456789abcdef0123456789abcdef.dir",
        run_id="run-1",
        commit="c" * 40,
        data_run="run-1",
        mlflow_run_id="m" * 32,
        bundle_md5="b" * 32 + ".dir",
        synthetic=True,
        users=users,
        shards=tuple(shards(users, users_per_shard)),
        generated_at=datetime(2026, 3, 2, 4, 0, tzinfo=UTC),
    )


def stage_all(publisher: Publisher, bundle: Bundle, dataset: Dataset, plan: Plan) -> None:
    """Scores every shard and seals the result; what is in the tables is judged by tests of its own."""
    for shard, (start, stop) in enumerate(plan.shards):
        publisher.stage(plan, shard, shard_rows(bundle, dataset, plan.recipe, start, stop))
    publisher.seal(plan)


@pytest.fixture(scope="session")
def postgresql() -> Iterator[str]:
    """URL of a real PostgreSQL, without a database name."""
    if binaries() is None:
        pytest.skip("no PostgreSQL server on this machine: install the package postgresql")
    with server() as url:
        yield url


@pytest.fixture(params=["sqlite", "postgresql"])
def tables_database(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """An empty database of each kind, which `AVREC_TABLES_URL` names."""
    if request.param == "postgresql":
        url = request.getfixturevalue("postgresql")
        name = f"t{uuid.uuid4().hex}"
        with sa.create_engine(f"{url}/postgres", isolation_level="AUTOCOMMIT").connect() as connection:
            connection.execute(sa.text(f"create database {name}"))
        monkeypatch.setenv("AVREC_TABLES_URL", f"{url}/{name}")
    return str(request.param)
