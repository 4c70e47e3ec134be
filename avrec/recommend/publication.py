"""Publishing: parts are made aside, validated, and put in force in one step; what was in force is kept.

The order makes a crash between any two steps harmless. Until the SQL transaction of `switch` commits, the earlier
publication is in force everywhere. Afterwards the new one is, and a repeated `publish` brings the pointer of the
Parquet files after it. Every step may be repeated.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from datetime import date
from typing import Any

import pyarrow as pa

from avrec.errors import DataError
from avrec.recommend.plan import COMPLETE, Plan
from avrec.recommend.recipe import stamp
from avrec.recommend.sql import Publication, Tables
from avrec.recommend.store import Store
from avrec.schema import RECOMMENDATIONS
from avrec.settings import settings

VALIDATED = "validated.json"
POINTER = "CURRENT"


class Publisher:
    """Makes publications of staged parts.

    Attributes:
        store: Parquet files, below `run_date=YYYY-MM-DD/publication_id=ID/`.
        tables: SQL database.

    Example:
        ```python
        publisher = Publisher.of_settings()
        publisher.stage(plan, 0, shard_rows(bundle, dataset, plan.recipe, *plan.shards[0]))
        publisher.seal(plan)  # after validation
        publisher.publish(plan)
        ```
    """

    def __init__(self, store: Store, tables: Tables) -> None:
        self.store = store
        self.tables = tables

    @classmethod
    def of_settings(cls) -> Publisher:
        """The ones that `AVREC_PUBLICATIONS` and `AVREC_TABLES_URL` name."""
        return cls(Store(settings().publications), Tables(settings().tables_url))

    def stage(self, plan: Plan, shard: int, batches: Iterable[pa.Table]) -> int:
        """Writes the rows of one shard aside and returns their number; equal rows give an equal file."""
        rows = pa.concat_tables(batches).combine_chunks()
        self.store.write_table(f"{plan.staging}/{plan.part(shard)}", rows)
        return int(rows.num_rows)

    def has_part(self, plan: Plan, shard: int) -> bool:
        """Whether the rows of a shard are there, whole."""
        return self.store.exists(f"{plan.staging}/{plan.part(shard)}")

    def staged(self, plan: Plan) -> Iterator[pa.Table]:
        """The staged rows, a table a shard, columns `ROW_VALUES`.

        Raises:
            DataError: a shard is missing.
        """
        missing = sorted(set(plan.parts) - set(self.store.names(plan.staging)))
        if missing:
            raise DataError(f"{self.store.path(plan.staging)}: parts {missing[:5]} are missing; score them first.")
        for part in plan.parts:
            yield self.store.read_table(f"{plan.staging}/{part}")

    def seal(self, plan: Plan) -> None:
        """Says that the staged parts, as they are now, passed validation."""
        hashes = {part: self.store.hash(f"{plan.staging}/{part}") for part in plan.parts}
        self.store.write(f"{plan.staging}/{VALIDATED}", json.dumps(hashes, indent=2, sort_keys=True).encode())

    def publish(self, plan: Plan) -> bool:
        """Puts a validated table in force.

        Returns:
            False where it was in force already: publishing the same again changes nothing.

        Raises:
            DataError: parts are missing, were not validated, or changed since.
        """
        self.assemble(plan)
        changed = self.switch(plan)
        self.point(plan)
        self.clear(plan)
        return changed

    def assemble(self, plan: Plan) -> None:
        """Makes the Parquet folder of the publication; it is complete once `publication.json` is in it."""
        if self.complete(plan):
            return
        try:
            self._assemble(plan)
        except (FileNotFoundError, DataError):
            if not self.complete(plan):  # else another publisher of the same was faster and has tidied up
                raise

    def _assemble(self, plan: Plan) -> None:
        hashes = self._validated(plan)
        counts = {}
        for part in plan.parts:
            data = self.store.read(f"{plan.staging}/{part}")
            if hashlib.sha256(data).hexdigest() != hashes.get(part):
                raise DataError(f"{part} of {plan.publication_id} changed after validation; validate it again.")
            rows = self.store.read_table(f"{plan.staging}/{part}")
            self.store.write_table(f"{plan.folder}/{part}", stamp(rows, plan.recipe, plan.provenance))
            counts[part] = rows.num_rows
        record = {"plan": plan.to_json(), "rows": counts, "row_count": sum(counts.values())}
        self.store.write(f"{plan.folder}/{COMPLETE}", json.dumps(record, indent=2, sort_keys=True).encode())

    def complete(self, plan: Plan) -> bool:
        """Whether the Parquet folder is there in full, in force or not."""
        return self.store.exists(f"{plan.folder}/{COMPLETE}")

    def switch(self, plan: Plan) -> bool:
        """The one step that counts."""
        record: dict[str, Any] = json.loads(self.store.read(f"{plan.folder}/{COMPLETE}"))
        made = Plan.from_json(record["plan"])
        return self.tables.switch(made, self.published(made), record["row_count"])

    def published(self, plan: Plan) -> Iterator[pa.Table]:
        """The rows of a complete publication, tables `RECOMMENDATIONS`, a part at a time."""
        for part in plan.parts:
            yield RECOMMENDATIONS.conform(self.store.read_table(f"{plan.folder}/{part}"))

    def point(self, plan: Plan) -> None:
        """Brings the pointer of the Parquet files to what is in force, which may be newer than this plan."""
        with self.tables.locked():  # two publishers cannot leave the pointer at the one that lost
            current = self.tables.current(plan.recipe.run_date)
            if current is not None:
                self.store.write(_pointer(plan.recipe.run_date), current.id.encode())

    def clear(self, plan: Plan) -> None:
        """Removes what was made aside."""
        self.store.remove(plan.staging)

    def current_folder(self, run_date: date) -> str | None:
        """URL of the Parquet files in force for a date, as a reader without SQL finds them."""
        if not self.store.exists(_pointer(run_date)):
            return None
        identity = self.store.read(_pointer(run_date)).decode()
        return self.store.path(f"run_date={run_date.isoformat()}/publication_id={identity}")

    def current(self, run_date: date | None = None) -> Publication:
        """The publication in force for a date, by default for the latest one.

        Raises:
            DataError: there is none.
        """
        found = self.tables.newest() if run_date is None else self.tables.current(run_date)
        if found is None:
            raise DataError(f"nothing is published for {run_date or 'any date'}; `avrec tables list` shows what is.")
        return found

    def _validated(self, plan: Plan) -> dict[str, str]:
        name = f"{plan.staging}/{VALIDATED}"
        if not self.store.exists(name):
            raise DataError(f"{plan.publication_id} was not validated; nothing is published without that.")
        hashes: dict[str, str] = json.loads(self.store.read(name))
        return hashes


def _pointer(run_date: date) -> str:
    return f"run_date={run_date.isoformat()}/{POINTER}"
