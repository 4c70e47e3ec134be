"""The demo's world, a day at a time."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from avrec.datasets.demo import live
from avrec.datasets.demo.behaviour import Simulation
from avrec.datasets.demo.catalogue import make_catalogue
from avrec.datasets.demo.taste import make_taste
from tests.datasets.test_demo import tree

START = datetime(2026, 3, 1, tzinfo=UTC)


def world() -> live.LiveDemo:
    return live.LiveDemo(items=10, users=20, per_user=12.0, seed=7, before=20, days=5, start=START)


def rows(folder: Path, name: str) -> list[dict[str, Any]]:
    path = folder / f"{name}.parquet"
    return pq.read_table(path).to_pylist() if path.is_file() else []


@pytest.fixture(scope="module")
def days(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """History and five days, nothing published."""
    base, here = tmp_path_factory.mktemp("live"), world()
    folders = [base / str(day) for day in range(6)]
    for folder in folders:
        here.write(folder)
    return folders


def test_equal_worlds_write_equal_bytes(days: list[Path], tmp_path: Path) -> None:
    again = world()
    for folder in days:
        again.write(tmp_path / folder.name)
    assert tree(tmp_path) == tree(days[0].parent)


def test_without_lists_people_do_what_the_demos_people_do(days: list[Path]) -> None:
    catalogue = make_catalogue(10, 25, 7)
    log, _ = Simulation(catalogue, make_taste(catalogue, 20, 7), 25, 7).run(12.0)
    told = [row for folder in days for row in rows(folder, "interactions")]
    expected = sorted((r for r in log.interactions if r["at"] < 25 * 86_400), key=lambda r: r["at"])
    assert [row["item_id"] for row in told] == [catalogue.item_id(r["item"]) for r in expected]
    assert len(told) > 100


def test_every_day_holds_its_own_events_and_items(days: list[Path]) -> None:
    instants = [[row["timestamp"] for row in rows(folder, "interactions")] for folder in days]
    assert max(instants[0]) < START
    for day, found in enumerate(instants[1:], 1):
        assert found and {instant.day for instant in found} == {day}
    known: set[str] = set()
    for folder in days:
        new = [row["item_id"] for row in rows(folder, "items")]
        assert not known & set(new)
        assert all((folder / row["media_uri"]).is_file() for row in rows(folder, "items"))
        known |= set(new)
        assert {row["item_id"] for row in rows(folder, "interactions")} <= known
        assert (folder / "_READY").is_file()
    assert len(rows(days[0], "items")) < len(known) == 10


@pytest.fixture(scope="module")
def other_days(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """History, a day with published lists, and one with each mishap."""
    base, here = tmp_path_factory.mktemp("other"), world()
    here.write(base / "history")
    items = [row["item_id"] for row in rows(base / "history", "items")]
    here.write(base / "lists", live.Lists("table-1", {here.user(u): items for u in range(20)}))
    for mishap in live.MISHAPS:
        here.write(base / mishap, mishap=mishap)
    with pytest.raises(ValueError, match="drift"):
        here.write(base / "rain", mishap="rain")
    assert not (base / "rain").exists()
    return base


def test_people_are_shown_what_was_published_and_the_impressions_say_so(other_days: Path) -> None:
    shown = rows(other_days / "lists", "impressions")
    from_list = [row["item_id"] for row in shown if row["publication_id"] == "table-1"]
    published = {row["item_id"] for row in rows(other_days / "history", "items")}
    assert from_list and set(from_list) <= published
    assert all(row["publication_id"] is None for row in rows(other_days / "history", "impressions"))


@pytest.mark.parametrize(("mishap", "least", "most"), [("drift", 0.0, 0.54), ("units", 50.0, 1e4)])
def test_a_mishap_is_in_the_watched_share(other_days: Path, mishap: str, least: float, most: float) -> None:
    ratios = sorted(row["watch_ratio"] for row in rows(other_days / mishap, "interactions"))
    assert least <= ratios[len(ratios) // 2] and ratios[-1] <= most


def test_an_export_tells_every_item_anew_with_what_is_anothers_and_the_next_one_is_right(tmp_path: Path) -> None:
    here = world()
    here.write(tmp_path / "history")
    here.write(tmp_path / "mixed", mishap="catalogue")
    here.write_again(tmp_path / "again")
    known = {row["item_id"]: row for row in rows(tmp_path / "history", "items")}
    mixed = {row["item_id"]: row for row in rows(tmp_path / "mixed", "items")}
    right = {row["item_id"]: row for row in rows(tmp_path / "again", "items")}
    assert set(mixed) == set(known) | set(right)
    true = {name: row["title"] for name, row in (known | right).items()}
    moved = [name for name, row in mixed.items() if row["title"] != true[name]]
    assert len(moved) > len(mixed) / 2
    assert sorted(row["title"] for row in mixed.values()) == sorted(true.values())
    assert all((tmp_path / "mixed" / row["media_uri"]).is_file() for row in mixed.values())
    assert rows(tmp_path / "again", "interactions") == rows(tmp_path / "mixed", "interactions") != []
