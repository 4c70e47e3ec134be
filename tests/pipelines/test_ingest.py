"""Exactly once: whatever ends the process, between any two steps, running it again loses and doubles nothing."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import yaml

from avrec.datasets.dataset import Dataset
from avrec.datasets.importing import import_source
from avrec.datasets.ingest_inbox import READY
from avrec.datasets.snapshots import rewrite
from avrec.errors import DataError, ParamsError
from avrec.params import parse_params
from avrec.privacy.pseudonyms import Pseudonyms
from avrec.privacy.receipts import Receipts
from avrec.settings import settings
from pipelines import git, ingest, journal, runs
from pipelines.start import start

STEPS = ["hashed", "appended", "journalled", "marked", "removed", "named", "started"]


def send(name: str, first: int, rows: int = 5) -> Path:
    """A batch with one new item and some events of it."""
    folder = Path(settings().inbox) / name
    folder.mkdir(parents=True)
    (folder / "items.csv").write_text(f"item_id,title,media_type\ni{first},Item {first},text\n", encoding="utf-8")
    lines = [f"u{n % 3},i{first},{1704300000 + 60 * (first + n)},like" for n in range(rows)]
    (folder / "interactions.csv").write_text(
        "\n".join(["user_id,item_id,timestamp,event", *lines, ""]), encoding="utf-8"
    )
    (folder / READY).touch()
    return folder


def state() -> tuple[str, dict[str, int], int]:
    """Snapshot, rows and batches as the journal has them; the snapshot holds those rows."""
    with journal.opened() as book:
        head = book.head
        assert head is not None
        batches = len(book.batches(head.line))
    dataset = Dataset(Path(settings().imports) / head.snapshot)
    assert {name: dataset.table(name).num_rows for name in head.totals} == head.totals
    return head.snapshot, dict(head.totals), batches


class Killed(BaseException):
    """Nothing catches it on the way."""


@pytest.mark.parametrize("step", STEPS)
def test_a_crash_after_any_step(project: Path, step: str) -> None:
    send("1", 0)
    ingest.take()
    send("2", 100)

    def end(done: str) -> None:
        if done == step:
            raise Killed

    with pytest.raises(Killed):
        ingest.take(end)
    head = ingest.take()
    assert head is not None
    _, totals, batches = state()
    assert (totals, batches) == ({"items": 2, "interactions": 10}, 2)
    assert list(Path(settings().inbox).iterdir()) == []
    named = yaml.safe_load((project / "params.yaml").read_text(encoding="utf-8"))["dataset"]
    assert (named["source"], named["snapshot"]) == ("folder", head.snapshot)
    assert runs.tip(head.run) is not None
    assert ingest.take() == head  # and once more changes nothing


def test_a_crash_gives_the_bytes_of_an_undisturbed_run(project: Path) -> None:
    send("1", 0)

    def end(done: str) -> None:
        if done == "appended":
            raise Killed

    with pytest.raises(Killed):
        ingest.take(end)
    first = ingest.take()
    assert first is not None
    with journal.opened() as book:
        (record,) = book.batches(first.line)
    assert record["snapshot"] == first.snapshot
    assert len(list(Path(settings().imports).glob("[0-9a-f]*"))) == 1  # the killed one had made the same


def test_a_process_killed_for_real(project: Path) -> None:
    send("1", 0)
    code = (
        "import os; from pipelines import ingest; ingest.take(lambda s: s == 'journalled' and os.kill(os.getpid(), 9))"
    )
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True)
    assert done.returncode == -9
    ingest.take()
    assert state()[1:] == ({"items": 1, "interactions": 5}, 1)


def test_the_same_batch_sent_again_is_recognised(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    send("1", 0)
    first = ingest.take()
    send("under another name", 0)
    assert ingest.take() == first
    assert "was taken before" in capsys.readouterr().out
    assert list(Path(settings().inbox).iterdir()) == []


def test_two_at_once_lose_nothing(project: Path) -> None:
    """The slower one finds the journal moved, and adds its batch to what the faster one made."""
    send("1", 0)
    ingest.take()
    send("2", 100)

    def other(done: str) -> None:
        if done == "appended" and not (Path(settings().inbox) / "3").exists():
            send("3", 200)
            (Path(settings().inbox) / "2" / READY).rename(Path(settings().inbox) / "2" / "hidden")
            code = "from pipelines import ingest; ingest.take()"
            subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
            (Path(settings().inbox) / "2" / "hidden").rename(Path(settings().inbox) / "2" / READY)

    ingest.take(other)
    assert state()[1:] == ({"items": 3, "interactions": 15}, 3)


def test_a_bad_batch_waits_for_a_person_and_stops_nobody(project: Path) -> None:
    bad = send("1", 0)
    (bad / "interactions.csv").write_text("user_id,item_id\nu,i0\n", encoding="utf-8")
    send("2", 100)
    ingest.take()
    assert state()[1:] == ({"items": 1, "interactions": 5}, 1)
    assert "timestamp" in (bad / "_REFUSED").read_text(encoding="utf-8")
    assert (bad / "interactions.csv").exists()


def test_an_import_begins_a_new_line(project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    send("1", 0)
    ingest.take()
    shop = tmp_path / "shop"
    shop.mkdir()
    (shop / "items.csv").write_text("item_id,media_type\ni0,text\nother,text\n", encoding="utf-8")
    monkeypatch.chdir(project)
    snapshot = import_source("folder", shop, parse_params({}))
    send("2", 0)
    head = ingest.take()
    assert head is not None
    assert head.line == snapshot
    assert state()[1:] == ({"items": 2, "interactions": 5}, 1)


def test_enough_is_new_once(project: Path) -> None:
    params = project / "params.yaml"
    params.write_text(params.read_text(encoding="utf-8") + "ingest: {min_interactions: 8, min_items: 10}\n", "utf-8")
    assert ingest.announce("a") is None
    send("1", 0)
    ingest.take()
    assert ingest.announce("a") is None
    send("2", 100)
    ingest.take()
    assert ingest.announce("b") == {"interactions": 10, "items": 2}
    assert ingest.announce("b") == {"interactions": 10, "items": 2}  # a retry of the same task
    assert ingest.announce("c") is None
    send("3", 200)
    ingest.take()
    assert ingest.announce("d") is None  # counted from the last time it was told


def test_a_bad_batch_can_be_taken_back(project: Path) -> None:
    send("1", 0)
    good = ingest.take()
    send("2", 100)
    ingest.take()
    assert good is not None
    made = ingest.back_to(good.snapshot)
    assert (made.snapshot, made.totals) == (good.snapshot, good.totals)
    assert yaml.safe_load((project / "params.yaml").read_text(encoding="utf-8"))["dataset"]["snapshot"] == good.snapshot
    send("2 again", 100)  # the same batch: it does not count as taken any more
    head = ingest.take()
    assert head is not None
    assert head.totals == {"items": 2, "interactions": 10}
    with pytest.raises(DataError, match="no version of the data"):
        ingest.back_to("0" * 64)


def test_an_erasure_is_followed(project: Path) -> None:
    """The person is out of the current version; later batches are added to that, and bring nobody back."""
    send("1", 0)
    before = ingest.take()
    assert before is not None
    ingest.offer(before.run)
    gone = Pseudonyms.of_home().of("u1")
    Receipts.of_settings().add([gone], [], "2026-03-01")
    new, _ = rewrite(before.snapshot, Receipts.of_settings().subjects(), None)
    runs.drop(before.run)
    journal.forget({before.snapshot: new}, [before.run])
    assert journal.offered() is None
    send("2", 100)
    head = ingest.take()
    assert head is not None
    assert head.line == before.line
    dataset = Dataset(Path(settings().imports) / head.snapshot)
    assert gone not in dataset.table("interactions")["user_id"].to_pylist()
    assert dataset.table("items").num_rows == 2


def test_a_version_may_be_used_from_when_it_was_offered(project: Path) -> None:
    assert journal.offered() is None
    send("1", 0)
    head = ingest.take()
    assert head is not None
    assert journal.offered() is None
    before = datetime.now(UTC) - timedelta(seconds=1)
    made = ingest.offer(head.run)
    assert ingest.offer(head.run) == made
    assert journal.offered() == made
    assert journal.offered(before) is None
    with pytest.raises(DataError, match="not the run"):
        ingest.offer("data-other")


def test_a_run_starts_with_the_newest_version(project: Path) -> None:
    send("1", 0)
    head = ingest.take()
    assert head is not None
    (project / "params.yaml").write_text("dataset:\n  source: demo\nsplit: {val: 0.1}\n", encoding="utf-8")
    start("newest", {"split.val": 0.2}, newest=True)
    with runs.temporary_repository() as folder:
        commit = git.fetch(folder, settings().repository, runs.ref_of("newest"))
        params = yaml.safe_load(git.show(folder, commit, "params.yaml"))
    assert (params["dataset"]["snapshot"], params["split"]["val"]) == (head.snapshot, 0.2)
    with pytest.raises(ParamsError):
        start("newest", {"split.val": 0.3}, newest=True)
