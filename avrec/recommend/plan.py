"""What is about to be published: decided once, written down, and read by every shard and every retry."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from typing import Any

from avrec.errors import DataError
from avrec.recommend.recipe import Provenance, Recipe
from avrec.recommend.store import Store

STAGING = "_staging"
COMPLETE = "publication.json"
"""File that is written last: a publication's Parquet folder that has it is whole."""


@dataclass(frozen=True)
class Plan:
    """One publication before it is one.

    Attributes:
        recipe: Run date, length, diversity, kinds of items.
        model_version: Registered version of the model.
        dataset_version: DVC hash of the validated data set that histories come from.
        run_id: Run (`refs/avrec/runs/ID`) whose code and bundle make the rows.
        commit: Commit of that run: code, parameters and the hashes of everything it read.
        data_run: Run whose data set gives histories and items; mostly the same, or a later one.
        mlflow_run_id: Where MLflow describes the model.
        bundle_md5: DVC hash of the bundle.
        synthetic: True where no person made the data.
        users: People with a history.
        shards: Ranges `[start, stop)` over them.
        generated_at: When the first attempt began; retries keep it.
    """

    recipe: Recipe
    model_version: str
    dataset_version: str
    run_id: str
    commit: str
    data_run: str
    mlflow_run_id: str
    bundle_md5: str
    synthetic: bool
    users: int
    shards: tuple[tuple[int, int], ...]
    generated_at: datetime

    @property
    def publication_id(self) -> str:
        """Follows from what decides the rows, so that publishing the same again is recognised."""
        names = ("model_version", "dataset_version", "run_id", "data_run", "bundle_md5")
        decides = {**{name: getattr(self, name) for name in names}, "recipe": self.recipe.to_json()}
        digest = hashlib.sha256(json.dumps(decides, sort_keys=True).encode()).hexdigest()[:12]
        return f"{self.recipe.run_date:%Y%m%d}-v{self.model_version}-{digest}"

    @property
    def staging(self) -> str:
        """Folder in the store where parts wait."""
        return f"{STAGING}/{self.publication_id}"

    @property
    def folder(self) -> str:
        """Folder in the store where the published parts are."""
        return f"run_date={self.recipe.run_date.isoformat()}/publication_id={self.publication_id}"

    @property
    def provenance(self) -> Provenance:
        return Provenance(self.model_version, self.dataset_version, self.run_id, self.publication_id, self.generated_at)

    def part(self, shard: int) -> str:
        return f"part-{shard:05d}.parquet"

    @property
    def parts(self) -> list[str]:
        return [self.part(shard) for shard in range(len(self.shards))]

    def to_json(self) -> dict[str, Any]:
        return {
            **asdict(self),
            "recipe": self.recipe.to_json(),
            "shards": [list(shard) for shard in self.shards],
            "generated_at": self.generated_at.isoformat(),
            "publication_id": self.publication_id,
        }

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Plan:
        names = {field.name for field in fields(cls)}  # a plan may come from a newer avrec than the run's code
        known = {name: value for name, value in values.items() if name in names}
        known["recipe"] = Recipe.from_json(values["recipe"])
        known["shards"] = tuple((start, stop) for start, stop in values["shards"])
        known["generated_at"] = datetime.fromisoformat(values["generated_at"])
        return cls(**known)


def write_plan(store: Store, plan: Plan) -> Plan:
    """Writes a plan down, or returns the one that an earlier attempt wrote: its shards may be half done."""
    if not store.exists(f"{plan.folder}/{COMPLETE}"):
        store.create(f"{plan.staging}/plan.json", json.dumps(plan.to_json(), indent=2, sort_keys=True).encode())
    return read_plan(store, plan.publication_id)


def read_plan(store: Store, publication_id: str) -> Plan:
    """The plan of a publication that is being made, or was.

    Raises:
        DataError: there is none.
    """
    try:
        return Plan.from_json(json.loads(store.read(f"{STAGING}/{publication_id}/plan.json")))
    except FileNotFoundError:
        day = publication_id[:8]
        name = f"run_date={day[:4]}-{day[4:6]}-{day[6:]}/publication_id={publication_id}/{COMPLETE}"
    try:
        return Plan.from_json(json.loads(store.read(name))["plan"])
    except FileNotFoundError as error:
        raise DataError(
            f"{store.url} knows no publication {publication_id}; `avrec tables list` shows them."
        ) from error
