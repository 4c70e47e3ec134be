"""The places an erasure goes through, one function a place. Each finds by receipts, and may be repeated."""

from __future__ import annotations

import shutil
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from avrec.datasets.dataset import Dataset
from avrec.datasets.forgetting import Found, find
from avrec.errors import DataError
from avrec.params import Params
from avrec.privacy.receipts import Subjects
from avrec.settings import settings
from pipelines import git, lockfile, runs
from pipelines.scratch import scratch

if TYPE_CHECKING:
    from avrec.registry.revoking import Revoked

DATASET, VALID = "data/dataset", "data/valid"


@dataclass
class Media:
    """Where the content of an erased item was.

    Attributes:
        sha256: Its hash.
        path: Its address: below `root`, or a URL.
        root: Folder it was imported from; None where it was rendered.
        texts: Rows of the table of items, for the keys of what was read in them.
    """

    sha256: str | None
    path: str | None
    root: str | None
    texts: Any


@dataclass
class Snapshots:
    """Snapshots that held the erased: old name, new name."""

    renamed: dict[str, str] = field(default_factory=dict)
    people: set[str] = field(default_factory=set)
    media: dict[str, Media] = field(default_factory=dict)


@dataclass
class Held:
    """Runs that held the erased, and the hashes of their validated data sets."""

    runs: list[str] = field(default_factory=list)
    versions: set[str] = field(default_factory=set)
    people: set[str] = field(default_factory=set)
    media: dict[str, Media] = field(default_factory=dict)


@dataclass
class Published:
    """Rows taken out of published tables, and the days they were of."""

    rows: int
    days: set[date]


def snapshots(subjects: Subjects, events_from: int | None) -> Snapshots:
    """Writes a new snapshot for each that holds the erased; the old ones stay for now."""
    import tempfile

    from avrec.datasets.snapshots import fetch, rewrite
    from avrec.datasets.snapshots import snapshots as names

    done = Snapshots()
    for name in names():
        with tempfile.TemporaryDirectory(prefix="avrec-forget-") as folder:
            fetch(name, Path(folder))
            found = find(Path(folder), subjects)
            done.media |= _media(Path(folder), found)
        new, _ = rewrite(name, subjects, events_from) if found or events_from else (name, found)
        done.people |= set(found.people)
        if new != name:
            done.renamed[name] = new
    return done


def remove_snapshots(done: Snapshots) -> None:
    from avrec.datasets.snapshots import remove_snapshot

    for old in done.renamed:
        remove_snapshot(old)


def rename_in_params(done: Snapshots, subjects: Subjects) -> None:
    """params.yaml of the working tree names the new snapshot, and the receipts the next data set is made without."""
    path = Path(settings().repository) / "params.yaml"
    if not path.is_file():
        for old, new in done.renamed.items():
            print(f"commit to {settings().repository}: params.yaml, dataset.snapshot {old} is now {new}", flush=True)
        return
    before = path.read_bytes()
    named = (yaml.safe_load(before) or {}).get("dataset") or {}
    changes: dict[str, Any] = {"dataset.erased": subjects.fingerprint if subjects else None}
    if named.get("snapshot") in done.renamed:
        changes["dataset.snapshot"] = done.renamed[named["snapshot"]]
    after = runs.edit(before, {key: value for key, value in changes.items() if named.get(key[8:]) != value})
    if after != before:
        aside = path.with_suffix(".new")
        aside.write_bytes(after)
        aside.replace(path)


def runs_that_hold(subjects: Subjects, done: Snapshots) -> Held:
    """Looks through the data set of every run, each content once.

    Raises:
        DataError: one cannot be pulled, so that nobody knows.
    """
    held, known = Held(), dict[str, Found]()
    for run_id in sorted(runs.list_runs()):
        with scratch(run_id, "forget") as here:
            outputs = lockfile.written(lockfile.read(here.folder))
            if DATASET not in outputs:
                if _would_bring_back(here.folder, done, subjects):
                    held.runs.append(run_id)
                continue
            md5 = outputs[DATASET]
            if md5 not in known:
                _pull(here, run_id)
                known[md5] = find(here.folder / DATASET, subjects)
                held.media |= _media(here.folder / DATASET, known[md5])
            if known[md5]:
                held.runs.append(run_id)
                held.people |= set(known[md5].people)
                held.versions |= {outputs[VALID]} if VALID in outputs else set()
    return held


def _pull(here: Any, run_id: str) -> None:
    try:
        here.pull([DATASET])
    except DataError as error:
        raise DataError(
            f"{error} Whether run {run_id} holds the person is unknown: bring the remote back, or forget the run: "
            f"git push {settings().repository} :{runs.ref_of(run_id)}"
        ) from error


def _would_bring_back(folder: Path, done: Snapshots, subjects: Subjects) -> bool:
    """A run that was started and has no data yet would still make them with the erased in them."""
    named = (yaml.safe_load((folder / "params.yaml").read_bytes()) or {}).get("dataset") or {}
    if not subjects:
        return False
    if named.get("snapshot"):
        return named["snapshot"] in done.renamed
    return named.get("erased") != subjects.fingerprint


def _media(folder: Path, found: Found) -> dict[str, Media]:
    if not found.items:
        return {}
    dataset = Dataset(folder)
    table = dataset.table("items")
    rows = {row: item for row, item in enumerate(table["item_id"].to_pylist()) if item in found.media}
    return {item: Media(*found.media[item], dataset.meta.media_root, table.slice(row, 1)) for row, item in rows.items()}


def revoke(subjects: Subjects, held: Held) -> Revoked:
    from avrec.registry import revoking

    if _nothing_tracked():
        return revoking.Revoked((), (), False)
    return revoking.revoke(subjects, held.runs, held.versions)


def _nothing_tracked() -> bool:
    """Whether this home has no MLflow yet: asking would make one, which takes seconds."""
    from avrec.registry import client as server

    uri = server.tracking_uri()
    return uri == server.embedded_uri() and not Path(uri.removeprefix("sqlite:///")).is_file()


def published(subjects: Subjects, held: Held, older_than: int | None) -> Published:
    from avrec.recommend.forgetting import forget_published, remove_superseded, vacuum
    from avrec.recommend.publication import Publisher

    publisher = Publisher.of_settings()
    rows, days = forget_published(publisher, subjects, held.runs)
    if older_than:
        remove_superseded(publisher, older_than)
    vacuum(publisher.tables)
    return Published(rows, days)


def working_tree(subjects: Subjects) -> bool:
    """Removes what `dvc repro` left in the project's own folder, if the erased are in it; True if so."""
    folder = Path(settings().repository)
    if not (folder / DATASET / "dataset.json").is_file() or not find(folder / DATASET, subjects):
        return False
    for path in lockfile.written(lockfile.read(folder)):
        target = folder / path
        shutil.rmtree(target, ignore_errors=True) if target.is_dir() else target.unlink(missing_ok=True)
    shutil.rmtree(folder / "data", ignore_errors=True)
    (folder / lockfile.NAME).unlink(missing_ok=True)
    own = _cache_of(folder)
    if own.resolve() != settings().dvc_cache.resolve():  # `dvc repro` by hand knows no AVREC_HOME
        shutil.rmtree(own / "files", ignore_errors=True)
    print(f"{folder}/data and what was made of it are removed; `dvc repro` makes them without the erased", flush=True)
    return True


def _cache_of(folder: Path) -> Path:
    """Where DVC, run by hand in a folder, keeps its objects."""
    from dvc.repo import Repo

    with Repo(str(folder)) as repo:
        return Path(repo.cache.local.path).parents[1]  # below it are files/md5


def old_runs(days: int) -> list[str]:
    """Runs nobody has added to for so many days; the newest and those of approved versions stay."""
    limit = datetime.now(UTC) - timedelta(days=days)
    with runs.temporary_repository() as folder:
        git.git(folder, "fetch", "--quiet", settings().repository, f"+{runs.PREFIX}*:{runs.PREFIX}*")
        form = "--format=%(refname)\t%(committerdate:iso-strict)"
        lines = git.text(folder, "for-each-ref", "--sort=committerdate", form, runs.PREFIX).splitlines()
    dated = [(line.split("\t")[0].removeprefix(runs.PREFIX), line.split("\t")[1]) for line in lines][:-1]
    kept = _approved()
    return [run for run, when in dated if datetime.fromisoformat(when) < limit and run not in kept]


def _approved() -> set[str]:
    from avrec.registry import client as server
    from avrec.registry import versions
    from avrec.registry.runs import RUN_ID

    found = [] if _nothing_tracked() else versions.all_versions(server.connect())
    return {v.tags.get(RUN_ID, "") for v in found if v.tags.get("avrec.approval") == "approved"}


def drop_runs(names: Iterable[str]) -> None:
    for name in names:
        runs.drop(name)
        shutil.rmtree(settings().home / "timings" / name, ignore_errors=True)


def features(media: dict[str, Media], params: Params) -> int:
    """Removes what extractors found in erased items; returns rows."""
    from avrec.features.store import FeatureStore
    from avrec.features.subjects import subjects_of

    keys = {found.sha256 for found in media.values() if found.sha256}
    for found in media.values():
        keys |= {s.key for s in subjects_of(found.texts, "text", None, params.features) if s.key}
    return FeatureStore(settings().feature_store).forget(keys)


def caches(days: Collection[date], data_changed: bool, items: bool) -> None:
    """Removes what can be made again: pages, downloaded models, hashes by path."""
    home = settings().home
    for day in days:
        shutil.rmtree(settings().reports / "recommendations" / day.isoformat(), ignore_errors=True)
    if data_changed:
        for folder in (settings().reports, home / "models"):
            shutil.rmtree(folder, ignore_errors=True)
    if items:
        (home / "hashes.db").unlink(missing_ok=True)


def waiting_batches(marks: list[str]) -> None:
    """Names what waits in the inbox and holds a text: a ready batch is taken without the person, others stay."""
    from avrec.privacy.scan import Scanner

    if marks and Path(settings().inbox).is_dir():
        for hit in Scanner(marks).folders([settings().inbox]):
            print(f"still there, in the inbox: {hit.where}", flush=True)


def outside_media(media: dict[str, Media], delete: bool) -> list[Path]:
    """Files of erased items where they were imported from; deleted if asked for, else returned.

    Those that were ingested are in a store of ours, and are deleted in any case.
    """
    left = []
    for found in media.values():
        path = Path(found.root or "") / (found.path or "")
        if found.root and Path(found.root).is_absolute() and found.path and path.is_file():
            ours = path.resolve().is_relative_to(Path(settings().media).resolve())
            path.unlink() if delete or ours else left.append(path)
    return left
