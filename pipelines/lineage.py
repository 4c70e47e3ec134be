"""From a published row back to what made it, and the row made again.

python -m pipelines.lineage trace --date 2026-03-01 --user USER --rank 1
python -m pipelines.lineage remake --date 2026-03-01 --user USER --into FOLDER
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np

from avrec.errors import DataError, told
from avrec.recommend.plan import Plan
from avrec.recommend.publication import Publisher
from avrec.recommend.recipe import ROW_VALUES
from avrec.recommend.sql import Publication
from avrec.settings import settings
from pipelines import git, lockfile, runs
from pipelines.recommend import BUNDLE, VALID

Row = dict[str, Any]


@dataclass(frozen=True)
class Comparison:
    """A published row beside the one made again; `different` names the columns that are not the same, bit by bit."""

    published: Row
    remade: Row | None
    different: tuple[str, ...]

    @property
    def equal(self) -> bool:
        return self.remade is not None and not self.different


def rows_of(run_date: date, user_id: str, publication_id: str | None = None) -> tuple[Publication, list[Row]]:
    """A person's published rows, of the publication in force or of an earlier one.

    Raises:
        DataError: no such publication, or it has no rows for this person.
    """
    publisher = Publisher.of_settings()
    found = publisher.tables.find(publication_id) if publication_id else publisher.current(run_date)
    if found is None:
        raise DataError(f"there is no publication {publication_id}; `avrec tables list` shows them.")
    rows: list[Row] = publisher.tables.rows(found.id, user_id).to_pylist()
    if not rows:
        raise DataError(f"{found.id} has no rows for '{user_id}'; people it does not know get those of '*'.")
    return found, rows


def trace(run_date: date, user_id: str, rank: int, publication_id: str | None = None) -> dict[str, Any]:
    """Everything behind one row. What the row claims is looked up where it came from.

    Raises:
        DataError: no such row, or the run does not hold what the row names.
    """
    publication, rows = rows_of(run_date, user_id, publication_id)
    row = next((row for row in rows if row["rank"] == rank), None)
    if row is None:
        raise DataError(f"the list of '{user_id}' in {publication.id} has ranks 1 to {len(rows)}, not {rank}.")
    plan = publication.plan
    return {
        "row": {name: row[name] for name in ("run_date", *ROW_VALUES, "generated_at")},
        "publication": {"id": publication.id, "status": publication.status, "put_in_force": publication.switched_at},
        "model": {"version": plan.model_version, "mlflow_run": plan.mlflow_run_id},
        "run": {"id": plan.run_id, "ref": runs.ref_of(plan.run_id), "data_run": plan.data_run},
        "code": {"commit": plan.commit, **_described(plan)},
        "data": {"dataset_version": plan.dataset_version, "bundle": plan.bundle_md5},
        "restore": f"avrec data checkout {plan.run_id}",
    }


def _described(plan: Plan) -> dict[str, str]:
    """What git says of the run, after checking that its runs still hold the bundle and the data the row names."""
    with runs.temporary_repository() as folder:
        data = git.fetch(folder, settings().repository, runs.ref_of(plan.data_run))
        _require(folder, data, VALID, plan.dataset_version)
        model = git.fetch(folder, settings().repository, runs.ref_of(plan.run_id))
        _require(folder, model, BUNDLE, plan.bundle_md5)
        return {"run_is_at": model, "last_step": git.text(folder, "log", "-1", "--format=%s (%cI)", model)}


def _require(folder: Path, commit: str, path: Path, expected: str) -> None:
    entries = lockfile.parse(git.show(folder, commit, lockfile.NAME))
    known = {name: md5 for entry in entries.values() for name, md5 in lockfile.hashes(entry).items()}
    if known.get(path.as_posix()) != expected:
        raise DataError(f"commit {commit} holds {path} {known.get(path.as_posix())}, but the row names {expected}.")


def remake_row(checkout: Path, plan: Plan, published: Mapping[str, Any]) -> Comparison:
    """Makes one published row again in a restored run and compares.

    Args:
        checkout: Folder that `avrec data checkout` made.
        plan: The publication the row is part of.
        published: The row as it is in the table.
    """
    return compare(published, _at(remade_rows(checkout, plan, published["user_id"]), published["rank"]))


def remake_list(run_date: date, user_id: str, into: Path, publication_id: str | None = None) -> list[Comparison]:
    """A person's whole list made again; the run is restored in `into` unless that was done before."""
    from pipelines.checkout import restore

    publication, rows = rows_of(run_date, user_id, publication_id)
    if not (into / BUNDLE).is_dir():
        restore(publication.plan.run_id, into)
    remade = remade_rows(into, publication.plan, user_id)
    compared = [compare(row, _at(remade, row["rank"])) for row in rows]
    if len(remade) > len(rows):
        raise DataError(f"the list made again has {len(remade)} rows, the published one {len(rows)}.")
    return compared


def remade_rows(checkout: Path, plan: Plan, user_id: str) -> list[Row]:
    """A person's rows, made by the code of a restored run in a process of its own.

    Raises:
        DataError: that code ended with an error.
    """
    order = json.dumps({"plan": plan.to_json(), "user_id": user_id})
    done = subprocess.run(
        [sys.executable, "-m", "pipelines.lineage", "here"], cwd=checkout, input=order, text=True,
        stdout=subprocess.PIPE, env=dict(os.environ), check=False,
    )  # fmt: skip
    if done.returncode:
        raise DataError(f"{checkout}: the rows could not be made again; the reason is above.")
    rows: list[Row] = json.loads(done.stdout.splitlines()[-1])
    return rows


def _at(rows: list[Row], rank: int) -> Row | None:
    return next((row for row in rows if row["rank"] == rank), None)


def compare(published: Mapping[str, Any], remade: Row | None) -> Comparison:
    """Column by column; scores by their bits."""
    mine = {name: published[name] for name in ROW_VALUES}
    if remade is None:
        return Comparison(mine, None, ROW_VALUES)
    return Comparison(mine, remade, tuple(n for n in ROW_VALUES if _bits(mine[n]) != _bits(remade[n])))


def _bits(value: Any) -> Any:
    return np.float32(value).tobytes() if isinstance(value, float) else value


def here(order: str) -> list[Row]:
    """The rows of one person, made in the current folder; `order` is the JSON `remake_row` sends."""
    from avrec.recommend.tables import remake
    from pipelines.recommend import inputs

    values = json.loads(order)
    plan = Plan.from_json(values["plan"])
    with inputs(plan, Path.cwd()) as (bundle, dataset):
        rows: list[Row] = remake(bundle, dataset, plan.recipe, values["user_id"]).to_pylist()
    return rows


def run(given: argparse.Namespace) -> int:
    if given.step == "here":
        rows = here(sys.stdin.read())
        print(json.dumps(rows), flush=True)
        return 0
    if given.step == "trace":
        found = trace(given.date, given.user, given.rank, given.publication)
        print(json.dumps(found, indent=2, default=str), flush=True)
        return 0
    compared = remake_list(given.date, given.user, given.into.absolute(), given.publication)
    for one in compared:
        verdict = "bit-equal" if one.equal else f"differs in {', '.join(one.different)}: {one.remade}"
        print(
            f"{one.published['rank']:>3}  {one.published['item_id']}  {one.published['score']:.6g}  {verdict}",
            flush=True,
        )
    print(
        f"{sum(one.equal for one in compared)} of {len(compared)} rows are bit-equal, made in {given.into}", flush=True
    )
    return 0 if all(one.equal for one in compared) else 1


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m pipelines.lineage", description=__doc__)
    steps = parser.add_subparsers(dest="step", required=True)
    steps.add_parser("here")
    for name in ("trace", "remake"):
        step = steps.add_parser(name)
        step.add_argument("--date", type=date.fromisoformat, required=True)
        step.add_argument("--user", required=True)
        step.add_argument("--publication", default=None, help="an earlier publication of the date")
        if name == "trace":
            step.add_argument("--rank", type=int, default=1)
        else:
            step.add_argument("--into", type=Path, required=True, help="folder the run is restored in")
    try:
        return run(parser.parse_args(arguments))
    except Exception as error:
        return told("lineage", error)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
