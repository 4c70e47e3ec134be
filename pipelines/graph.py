"""The training graph as dvc.yaml states it, read as plain YAML: light enough for a scheduler to do at every parse.

dvc.yaml stays the only definition; nothing here knows a stage by name.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from avrec.errors import ParamsError


@dataclass(frozen=True)
class Stage:
    """One stage, a matrix expanded.

    Attributes:
        name: DVC's name, `train@ease` for an entry of a matrix.
        cmd: The command, as DVC runs it.
        deps: Paths read.
        params: Keys of params.yaml read.
        outs: Paths written and kept in DVC's cache.
        files: Paths written and kept in git instead (metrics and plots with `cache: false`).
    """

    name: str
    cmd: str
    deps: tuple[str, ...]
    params: tuple[str, ...]
    outs: tuple[str, ...]
    files: tuple[str, ...]


def read_stages(path: Path) -> dict[str, Stage]:
    """Reads a dvc.yaml.

    Raises:
        ParamsError: the file is missing or uses what the project's rules forbid (`foreach`, `${}` in names).
    """
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ParamsError(f"{path} does not exist; the training graph is read from it.") from error
    stages = [
        _stage(name, _filled(entry, item))
        for base, entry in document["stages"].items()
        for name, item in _instances(base, entry, path)
    ]
    return {stage.name: stage for stage in stages}


def edges(stages: dict[str, Stage]) -> set[tuple[str, str]]:
    """Pairs (writer, reader): a stage reads what another wrote, or something inside or around it."""
    return {
        (writer.name, reader.name)
        for writer, reader in itertools.permutations(stages.values(), 2)
        if any(overlap(out, dep) for out in (*writer.outs, *writer.files) for dep in reader.deps)
    }


def pulled(stage: Stage, stages: dict[str, Stage]) -> list[str]:
    """The deps of a stage that come out of DVC's cache; the rest is code and small files in git."""
    cached = [out for other in stages.values() for out in other.outs]
    return [dep for dep in stage.deps if any(overlap(out, dep) for out in cached)]


def _instances(base: str, entry: dict[str, Any], path: Path) -> Iterator[tuple[str, dict[str, str]]]:
    if "foreach" in entry or "${" in base:
        raise ParamsError(f"{path}: stage '{base}': use `matrix` with literal lists and a plain name.")
    matrix: dict[str, list[Any]] | None = entry.get("matrix")
    if matrix is None:
        yield base, {}
        return
    if not all(isinstance(values, list) for values in matrix.values()):
        raise ParamsError(f"{path}: stage '{base}': `matrix` needs literal lists.")
    for values in itertools.product(*matrix.values()):
        texts = [str(value) for value in values]
        yield f"{base}@{'-'.join(texts)}", dict(zip(matrix, texts, strict=True))


def _filled(value: Any, item: dict[str, str]) -> Any:
    """`${item.key}` replaced everywhere inside a value."""
    if isinstance(value, str):
        for key, text in item.items():
            value = value.replace(f"${{item.{key}}}", text)
        return value
    if isinstance(value, list):
        return [_filled(entry, item) for entry in value]
    if isinstance(value, dict):
        return {_filled(key, item): _filled(entry, item) for key, entry in value.items()}
    return value


def _stage(name: str, entry: dict[str, Any]) -> Stage:
    written = [*_outputs(entry.get("outs", ())), *_outputs(entry.get("metrics", ())), *_outputs(entry.get("plots", ()))]
    return Stage(
        name=name,
        cmd=entry["cmd"],
        deps=tuple(entry.get("deps", ())),
        params=tuple(entry.get("params", ())),
        outs=tuple(path for path, cached in written if cached),
        files=tuple(path for path, cached in written if not cached),
    )


def _outputs(entries: Iterable[Any]) -> Iterator[tuple[str, bool]]:
    for entry in entries:
        if isinstance(entry, str):
            yield entry, True
        else:
            for path, options in entry.items():
                yield path, bool((options or {}).get("cache", True))


def overlap(one: str, other: str) -> bool:
    # Text, not paths: a scheduler asks this thousands of times whenever it reads the DAG file.
    return one == other or one.startswith(f"{other}/") or other.startswith(f"{one}/")
