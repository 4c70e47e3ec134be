"""The published tables in SQL: SQLite by default, PostgreSQL by URL. Which publication is in force is decided here.

Rows of every publication stay; the view `recommendations_current` shows those in force.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import sqlalchemy as sa

from avrec.errors import DataError, PlatformError
from avrec.recommend.plan import Plan
from avrec.recommend.recipe import DEFAULT_USER
from avrec.schema import RECOMMENDATIONS

CURRENT, SUPERSEDED = "current", "superseded"
_BATCH = 10_000
_LOCK = 0x61767265  # any fixed number: publishers of one database take turns
_WAIT_SECONDS = 600

_metadata = sa.MetaData()

publications = sa.Table(
    "publications",
    _metadata,
    sa.Column("id", sa.String, primary_key=True),
    sa.Column("run_date", sa.Date, nullable=False, index=True),
    sa.Column("status", sa.String, nullable=False),
    sa.Column("model_version", sa.String, nullable=False),
    sa.Column("dataset_version", sa.String, nullable=False),
    sa.Column("run_id", sa.String, nullable=False),
    sa.Column("row_count", sa.BigInteger, nullable=False),
    sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
    sa.Column("switched_at", sa.DateTime(timezone=True), nullable=False),
    sa.Column("plan", sa.Text, nullable=False),
)

_TYPES = {
    pa.string(): sa.String,
    pa.int32(): sa.Integer,
    pa.float32(): sa.Float,
    pa.date32(): sa.Date,
    pa.timestamp("us", tz="UTC"): sa.DateTime(timezone=True),
}
_KEY = ("publication_id", "user_id", "rank")

recommendations = sa.Table(
    "recommendations",
    _metadata,
    *(
        sa.Column(c.name, _TYPES[c.type], primary_key=c.name in _KEY, autoincrement=False, nullable=c.nullable)
        for c in RECOMMENDATIONS.columns
    ),
)

_VIEW = """create view recommendations_current as
select r.* from recommendations r join publications p on p.id = r.publication_id where p.status = 'current'"""


@dataclass(frozen=True)
class Publication:
    """A published table. `status` is current for exactly one of a run date, superseded for the others."""

    id: str
    run_date: date
    status: str
    model_version: str
    dataset_version: str
    run_id: str
    row_count: int
    created_at: datetime
    switched_at: datetime
    plan: Plan


class Tables:
    """The SQL database that `AVREC_TABLES_URL` names; its tables are made at first use.

    Raises:
        DataError: a database that is neither SQLite nor PostgreSQL.
        PlatformError: the database does not answer, is locked for too long or has no room; from every method.
    """

    def __init__(self, url: str) -> None:
        self.url = sa.make_url(url)
        self.kind = self.url.get_backend_name()
        if self.kind not in ("sqlite", "postgresql"):
            raise DataError(f"AVREC_TABLES_URL: expected sqlite or postgresql, got '{self.kind}'.")
        self.engine = _sqlite(self.url) if self.kind == "sqlite" else sa.create_engine(self.url)
        with self.locked() as connection:
            _metadata.create_all(connection)
            if "recommendations_current" not in sa.inspect(connection).get_view_names():
                connection.execute(sa.text(_VIEW))

    @contextmanager
    def locked(self) -> Iterator[sa.Connection]:
        """A transaction that no other publisher is in; committed at the end, undone on any error."""
        with self._answering(), self.engine.begin() as connection:
            if self.kind == "sqlite":
                connection.exec_driver_sql("begin immediate")
            else:
                connection.execute(sa.text("select pg_advisory_xact_lock(:key)"), {"key": _LOCK})
            yield connection

    @contextmanager
    def _answering(self) -> Iterator[None]:
        """Says of a database that fails which one it is and what to do, without its password."""
        try:
            yield
        except sa.exc.OperationalError as error:
            where = self.url.render_as_string(hide_password=True)
            raise PlatformError(
                f"the database of the tables, {where}, fails: {' '.join(str(error.orig).split())}. What is in force "
                "stays. See that it runs, is where AVREC_TABLES_URL says, and has room, and run the same again."
            ) from error

    def switch(self, plan: Plan, batches: Iterable[pa.Table], row_count: int) -> bool:
        """Puts a publication in force, in one transaction; what was in force becomes superseded.

        Args:
            plan: What is published.
            batches: Its rows, tables `RECOMMENDATIONS`; read only where the database does not hold them yet.
            row_count: How many there are.

        Returns:
            False where it was in force already; then nothing changes.

        Raises:
            DataError: the batches hold another number of rows.
        """
        table, here = publications, publications.c.id == plan.publication_id
        now = datetime.now(UTC).replace(microsecond=0)
        with self.locked() as connection:
            status = connection.execute(sa.select(table.c.status).where(here)).scalar()
            if status == CURRENT:
                return False
            if status is None:
                _insert(connection, batches, row_count)
                connection.execute(table.insert().values(**_record(plan, row_count, now)))
            same_date = table.c.run_date == plan.recipe.run_date
            connection.execute(table.update().where(same_date).values(status=SUPERSEDED))
            connection.execute(table.update().where(here).values(status=CURRENT, switched_at=now))
        return True

    def find(self, publication_id: str) -> Publication | None:
        found = self._publications(publications.c.id == publication_id)
        return found[0] if found else None

    def current(self, run_date: date) -> Publication | None:
        """The publication in force for a date."""
        found = self._publications(publications.c.run_date == run_date, publications.c.status == CURRENT)
        return found[0] if found else None

    def newest(self) -> Publication | None:
        """The publication in force for the latest date that has one."""
        found = self._publications(publications.c.status == CURRENT)
        return found[-1] if found else None

    def all(self) -> list[Publication]:
        """Every publication, by date and then by when it was put in force."""
        return self._publications()

    def rows(self, publication_id: str, user_id: str) -> pa.Table:
        """One person's rows of a publication, table `RECOMMENDATIONS`, in order of rank."""
        t = recommendations
        query = sa.select(t).where(t.c.publication_id == publication_id, t.c.user_id == user_id).order_by(t.c.rank)
        with self._answering(), self.engine.connect() as connection:
            found = [dict(row) for row in connection.execute(query).mappings()]
        for row in found:
            row["generated_at"] = _utc(row["generated_at"])
        return pa.Table.from_pylist(found, schema=RECOMMENDATIONS.schema)

    def users(self, publication_id: str, limit: int) -> list[str]:
        """Some of the people a publication has lists for, in order of their ids; `*` is one, segments are not."""
        column = recommendations.c.user_id
        one = (recommendations.c.publication_id == publication_id) & column.not_like(f"{DEFAULT_USER}_%")
        query = sa.select(column).where(one).distinct().order_by(column)
        with self._answering(), self.engine.connect() as connection:
            return [row[0] for row in connection.execute(query.limit(limit))]

    def _publications(self, *where: sa.ColumnElement[bool]) -> list[Publication]:
        query = sa.select(publications).where(*where).order_by(publications.c.run_date, publications.c.switched_at)
        with self._answering(), self.engine.connect() as connection:
            return [_publication(row) for row in connection.execute(query).mappings()]


def _sqlite(url: sa.URL) -> sa.Engine:
    """SQLite that leaves transactions to us (its driver would begin them late) and lets people read meanwhile."""
    if url.database:
        Path(url.database).parent.mkdir(parents=True, exist_ok=True)
    engine = sa.create_engine(url, connect_args={"timeout": _WAIT_SECONDS})

    def manual(connection: Any, _: Any) -> None:
        connection.isolation_level = None
        connection.execute("pragma journal_mode=wal")

    sa.event.listen(engine, "connect", manual)
    return engine


def _insert(connection: sa.Connection, batches: Iterable[pa.Table], row_count: int) -> None:
    written = 0
    for batch in batches:
        for start in range(0, batch.num_rows, _BATCH):
            rows = batch.slice(start, _BATCH).to_pylist()
            connection.execute(recommendations.insert(), rows)
            written += len(rows)
    if written != row_count:
        raise DataError(f"publication: expected {row_count} rows, found {written}; validate and publish again.")


def _record(plan: Plan, row_count: int, now: datetime) -> dict[str, Any]:
    return {
        "id": plan.publication_id,
        "run_date": plan.recipe.run_date,
        "status": SUPERSEDED,
        "model_version": plan.model_version,
        "dataset_version": plan.dataset_version,
        "run_id": plan.run_id,
        "row_count": row_count,
        "created_at": now,
        "switched_at": now,
        "plan": json.dumps(plan.to_json(), sort_keys=True),
    }


def _publication(row: Any) -> Publication:
    values = dict(row)
    values["plan"] = Plan.from_json(json.loads(values["plan"]))
    for name in ("created_at", "switched_at"):
        values[name] = _utc(values[name])
    return Publication(**values)


def _utc(instant: datetime) -> datetime:
    """SQLite forgets the time zone; we only ever write UTC."""
    return instant.replace(tzinfo=UTC) if instant.tzinfo is None else instant.astimezone(UTC)
