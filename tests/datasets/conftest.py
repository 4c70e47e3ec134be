"""Small real data sets, and a folder to import from."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from avrec.datasets.dataset import Dataset
from avrec.datasets.demo.source import make_demo
from avrec.params import DatasetParams, DemoParams

SMALL = DatasetParams(demo=DemoParams(items=24, users=20, days=30, interactions_per_user=25.0))


@pytest.fixture(scope="session")
def small_params() -> DatasetParams:
    """Section `dataset` of the small demo set."""
    return SMALL


@pytest.fixture(scope="session")
def small_demo(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """The demo set with 24 items and 20 people."""
    folder = tmp_path_factory.mktemp("demo")
    return make_demo(SMALL, folder / "dataset", folder / "media", workers=1)


@pytest.fixture
def project(tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a params.yaml of its own, current."""
    folder = tmp_path / "project"
    folder.mkdir()
    shutil.copy(root / "params.yaml", folder)
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """A folder as a person brings it: media, and tables under their own names."""
    folder = tmp_path / "shop"
    (folder / "films").mkdir(parents=True)
    for name in ("a", "b", "c"):
        (folder / "films" / f"{name}.mp4").write_bytes(name.encode() * 100)
    (folder / "items.csv").write_text(
        "item_id,name,tags,media_uri,published_at\n"
        "a,First film,one|two,films/a.mp4,2024-01-01\n"
        "b,Second film,,films/b.mp4,2024-01-02T10:00:00+02:00\n"
        'c,"Third, film",x,films/c.mp4,1704200000\n',
        encoding="utf-8",
    )
    rows = [
        (f"user{n % 4}", "abc"[n % 3], 1704300000 + 1000 * (n // 2), ("view", "skip", "like")[n % 3]) for n in range(24)
    ]
    lines = "".join(f"{user},{item},{when},{event}\n" for user, item, when, event in rows)
    (folder / "interactions.csv").write_text("user_id,item_id,timestamp,event\n" + lines, encoding="utf-8")
    return folder
