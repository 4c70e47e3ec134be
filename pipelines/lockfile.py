"""dvc.lock of a run: which entries are current, and how two stages' entries come together."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from pipelines import git
from pipelines.graph import Stage, overlap

NAME = "dvc.lock"
Entry = dict[str, Any]


def parse(content: bytes | None) -> dict[str, Entry]:
    """Entries by stage name; none where the file does not exist yet."""
    return dict((yaml.safe_load(content) or {}).get("stages") or {}) if content else {}


def read(folder: Path) -> dict[str, Entry]:
    path = folder / NAME
    return parse(path.read_bytes() if path.exists() else None)


@contextmanager
def narrowed(folder: Path, paths: Iterable[str]) -> Iterator[None]:
    """For a while, a dvc.lock that tells of nothing but where `paths` are.

    DVC reads the file anew for each target, in pure Python: most of the time of a pull, before this.
    """
    path, wanted = folder / NAME, list(paths)
    before = path.read_bytes() if path.exists() else b""
    entries = {name: _narrow(entry, wanted) for name, entry in parse(before).items()}
    path.write_bytes(dump({name: entry for name, entry in entries.items() if entry["outs"]}))
    try:
        yield
    finally:
        path.write_bytes(before)


def _narrow(entry: Entry, paths: list[str]) -> Entry:
    outs = [out for out in entry.get("outs", ()) if any(overlap(out["path"], path) for path in paths)]
    return {"cmd": entry["cmd"], "outs": outs}


def of_commit(folder: Path, commit: str) -> dict[str, Entry]:
    """Entries as a commit has them."""
    return parse(git.show(folder, commit, NAME) if git.has_file(folder, commit, NAME) else None)


def dump(entries: dict[str, Entry]) -> bytes:
    """DVC's format, ordered by name: the bytes do not depend on which stage was first."""
    ordered = {"schema": "2.0", "stages": {name: entries[name] for name in sorted(entries)}}
    return yaml.safe_dump(ordered, sort_keys=False, allow_unicode=True).encode()


def hashes(entry: Entry) -> dict[str, str]:
    """Hash of every output of an entry, by path."""
    return {out["path"]: out["md5"] for out in entry.get("outs", ())}


def written(entries: dict[str, Entry]) -> dict[str, str]:
    """Hash of everything any stage wrote, by path."""
    return {path: md5 for entry in entries.values() for path, md5 in hashes(entry).items()}


def is_current(entries: dict[str, Entry], stage: Stage) -> bool:
    """Whether a stage is done: it has an entry, made from exactly what the other entries say was written.

    Within a run, code and parameters never change, so that nothing else can make an entry stale.
    """
    entry = entries.get(stage.name)
    if entry is None:
        return False
    there = written(entries)
    read_from = {dep["path"]: dep["md5"] for dep in entry.get("deps", ())}
    return all(there.get(path, md5) == md5 for path, md5 in read_from.items())
