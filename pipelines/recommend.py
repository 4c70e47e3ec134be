"""Makes the rows of a recommendation table, aside.

python -m pipelines.recommend plan --date 2026-03-01 [--version 3] [--data RUN] [--until INSTANT]
python -m pipelines.inside RUN --pull artifacts/bundle -- python -m pipelines.recommend score PUBLICATION 0

Scoring runs inside a checkout of the model's run, with that run's code: the commit a row names is the code that
made it. Later steps: `pipelines.publish`, `pipelines.page`.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from avrec.datasets.dataset import Dataset
from avrec.errors import DataError, RegistryError, told
from avrec.params import RecommendParams
from avrec.recommend.plan import Plan, read_plan, write_plan
from avrec.recommend.publication import Publisher
from avrec.recommend.recipe import Recipe
from avrec.settings import settings
from pipelines import git, journal, lockfile, runs
from pipelines.scratch import scratch
from pipelines.stage import ARTIFACTS, DATA, PERMANENT, SKIP, result

if TYPE_CHECKING:
    from avrec.recommend.bundle import Bundle

CHAMPION, NOBODY = "champion", ""
BUNDLE, VALID, VISUAL = ARTIFACTS / "bundle", DATA / "valid", DATA / "features" / "visual"


@dataclass(frozen=True)
class Model:
    """What the registry says of a version."""

    version: str
    run_id: str
    mlflow_run_id: str
    bundle_md5: str
    synthetic: bool


def find_model(name: str) -> Model | None:
    """A registered version by number or alias; None where there is no champion yet.

    Raises:
        RegistryError: no such version, a revoked one, or one whose run has no ref: its rows could not be traced.
    """
    from avrec.registry import client as server
    from avrec.registry.versions import champion, refuse_revoked, resolve

    client = server.connect()
    found = champion(client) if name == server.CHAMPION else resolve(client, name)
    if found is None:
        return None
    refuse_revoked(found)
    run_id = found.tags.get("avrec.run_id", "")
    if not run_id or runs.tip(run_id) is None:
        raise RegistryError(
            f"version {found.version} comes from run '{run_id}', which has no ref in {settings().repository}; "
            "train through Airflow or with `python -m pipelines.start`, so that its rows can be made again."
        )
    return Model(str(found.version), run_id, str(found.run_id), str(found.tags.get("avrec.bundle_md5")),
                 found.tags.get("avrec.synthetic") == "true")  # fmt: skip


def plan(
    run_date: date, name: str = "champion", data_run: str | None = None, until: datetime | None = None
) -> Plan | None:
    """Decides what is to be published and writes it down; None where there is no champion.

    Args:
        run_date: Day the lists are for.
        name: Version number or alias.
        data_run: Run whose histories and items to use; by default the newest version that was ingested.
        until: Take champion and data as they were at this instant; now by default.
    """
    from avrec.recommend.tables import count_users, shards

    if until is not None and name == CHAMPION:
        name = champion_at(until) or NOBODY
    model = find_model(name) if name != NOBODY else None
    if model is None:
        return None
    with scratch(model.run_id, "recommend-plan") as here:
        params = _recommend_params(here.folder)
        commit = here.commit
        data_run = data_run or newest_data(here.folder, until) or model.run_id
    with scratch(data_run, "recommend-plan") as here:
        here.pull([str(VALID / "interactions.parquet"), str(VALID / "dataset.json")])
        users = count_users(Dataset(VALID), run_date)
        version = lockfile.hashes(lockfile.read(here.folder)["validate"])[VALID.as_posix()]
    wanted = Plan(
        recipe=recipe_of(run_date, params),
        model_version=model.version,
        dataset_version=version,
        run_id=model.run_id,
        commit=commit,
        data_run=data_run,
        mlflow_run_id=model.mlflow_run_id,
        bundle_md5=model.bundle_md5,
        synthetic=model.synthetic,
        users=users,
        shards=tuple(shards(users, params.users_per_shard)),
        generated_at=datetime.now(UTC).replace(microsecond=0),
    )
    return write_plan(Publisher.of_settings().store, wanted)


def recipe_of(run_date: date, params: RecommendParams) -> Recipe:
    """What the parameters of the model's run say of the lists."""
    return Recipe(run_date, params.k, params.diversity, params.media_types, params.spread, params.max_per_category,
                  params.max_unsafe)  # fmt: skip


def champion_at(until: datetime) -> str | None:
    """The version that was champion at an instant; None where there was none yet."""
    from avrec.registry.promotion import history

    return next((move.version for move in history() if datetime.fromisoformat(move.when) <= until), None)


def newest_data(checkout: Path, until: datetime | None) -> str | None:
    """The run of the newest ingested version that fits a model; None where the model's own data are to be used.

    Args:
        checkout: Checkout of the model's run.
        until: Instant by which the version was there.
    """
    offer = journal.offered(until)
    if offer is None:
        return None
    mine = yaml.safe_load((checkout / "params.yaml").read_text(encoding="utf-8"))
    with runs.temporary_repository() as folder:
        theirs = yaml.safe_load(git.show(folder, git.fetch(folder, settings().repository, runs.ref_of(offer.run)),
                                         "params.yaml"))  # fmt: skip
    if mine["dataset"]["source"] != offer.source:
        print(f"data {offer.run} is of source '{offer.source}', the model of '{mine['dataset']['source']}': "
              "the model's own data are used", flush=True)  # fmt: skip
        return None
    if mine.get("features") != theirs.get("features"):
        print(
            f"features of {offer.run} were made with other settings than the model's: its own data are used", flush=True
        )
        return None
    older = instant(offer.as_of) < instant(mine["dataset"].get("as_of"))
    return None if older or mine["dataset"].get("snapshot") == offer.snapshot else offer.run


def instant(text: str | None) -> datetime:
    """An ISO instant, in UTC where it names no zone; the beginning of time where there is none."""
    found = datetime.fromisoformat(text) if text else datetime.min
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def commands(made: Plan) -> list[list[str]]:
    """Arguments of `pipelines.inside`, one list a shard."""
    pull = ["--pull", BUNDLE.as_posix()] + (["--pull", VALID.as_posix()] if made.data_run == made.run_id else [])
    score = ["--", "python", "-m", "pipelines.recommend", "score", made.publication_id]
    return [[made.run_id, *pull, *score, str(shard)] for shard in range(len(made.shards))]


def score(publication_id: str, shard: int) -> int:
    """Writes the rows of one shard aside and returns their number; 0 where they are there already."""
    from avrec.recommend.tables import shard_rows

    publisher = Publisher.of_settings()
    made = read_plan(publisher.store, publication_id)
    if publisher.complete(made) or publisher.has_part(made, shard):
        return 0
    with inputs(made, Path.cwd()) as (bundle, dataset):
        return publisher.stage(made, shard, shard_rows(bundle, dataset, made.recipe, *made.shards[shard]))


@contextmanager
def inputs(made: Plan, checkout: Path) -> Iterator[tuple[Bundle, Dataset]]:
    """Bundle and data set of a plan, from a checkout of the model's run; items that came later are added."""
    from avrec.recommend.bundle import Bundle

    bundle = Bundle.load(checkout / BUNDLE)
    if made.data_run == made.run_id:
        yield bundle, Dataset(checkout / VALID)
        return
    with scratch(made.data_run, "recommend-data") as here:
        here.pull([VALID.as_posix(), *(f"data/features/{modality}" for modality in bundle.reads)])
        yield newer(bundle, here.folder)


def newer(bundle: Bundle, folder: Path) -> tuple[Bundle, Dataset]:
    """The bundle over the catalogue of a later run, which is restored in `folder`."""
    from avrec.recommend.catalogs import unsafe_of

    dataset = Dataset(folder / VALID)
    items = dataset.table("items")
    ids = items["item_id"].to_pylist()
    features = bundle.features_of(folder / "data" / "features", ids)
    unsafe = unsafe_of(folder / VISUAL, ids)
    return bundle.with_catalog(items, features, unsafe), dataset


def _recommend_params(folder: Path) -> RecommendParams:
    """The section of a run's params.yaml; keys this code does not know belong to that run's code."""
    values: dict[str, Any] = yaml.safe_load((folder / "params.yaml").read_text(encoding="utf-8")).get("recommend", {})
    return RecommendParams(**{name: value for name, value in values.items() if name in RecommendParams.model_fields})


def run_plan(given: argparse.Namespace) -> int:
    made = plan(given.date, given.version, given.data, given.until)
    if made is None:
        print("There is no champion yet: nobody is recommended anything. Promote a version first.", flush=True)
        return SKIP
    print(f"{made.publication_id}: {made.users} people in {len(made.shards)} shard(s), version {made.model_version}, "
          f"run {made.run_id}, data {made.dataset_version}", flush=True)  # fmt: skip
    result({"publication": made.publication_id, "shards": commands(made)})
    return 0


def run_score(given: argparse.Namespace) -> int:
    rows = score(given.publication, given.shard)
    print(f"shard {given.shard}: {rows} rows" if rows else f"shard {given.shard}: was there already", flush=True)
    return 0


def parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m pipelines.recommend", description=__doc__)
    steps = parser.add_subparsers(required=True)
    planning = steps.add_parser("plan")
    planning.add_argument("--date", type=date.fromisoformat, required=True)
    planning.add_argument("--version", default="champion")
    planning.add_argument("--data", default=None, metavar="RUN", help="run whose histories and items to use")
    planning.add_argument("--until", default=None, help="champion and data as of this instant (ISO)")
    planning.set_defaults(work=run_plan)
    scoring = steps.add_parser("score")
    scoring.add_argument("publication")
    scoring.add_argument("shard", type=int)
    scoring.set_defaults(work=run_score)
    given = parser.parse_args(arguments)
    if "version" in given:
        given.version, given.data = given.version or CHAMPION, given.data or None  # an empty form field
        given.until = instant(given.until) if given.until else None
    return given


def main(arguments: list[str]) -> int:
    given = parse(arguments)
    try:
        return int(given.work(given))
    except Exception as error:
        return told("recommend", error, PERMANENT if isinstance(error, RegistryError | DataError) else 1)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
