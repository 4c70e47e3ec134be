"""`avrec data import`: outside data become a snapshot, once; every run after that starts from the snapshot."""

from __future__ import annotations

import sys
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from avrec.datasets.cleaning import TIMED, clean
from avrec.datasets.dataset import DatasetMeta, write_meta
from avrec.datasets.media_files import escape, hash_all
from avrec.datasets.outside import Columns, OutsideSource, Raw, quoted, some, start
from avrec.datasets.registry import source_named
from avrec.datasets.snapshots import keep, making
from avrec.datasets.streams import write_query
from avrec.errors import DataError, ParamsError
from avrec.params import Params, parse_params
from avrec.privacy.pseudonyms import Pseudonyms
from avrec.schema import DATASET_TABLES, TABLES

PARAMS = Path("params.yaml")
BLOCK = 4096
EXAMPLES = 3
"""Names that the report of an import gives of what is missing."""


def import_source(source: str, path: Path | str | None, params: Params | None = None) -> str:
    """Takes a snapshot of outside data and names it in params.yaml.

    Nothing is visible until all of it is there; the same data under the same key give the same snapshot.

    Args:
        source: folder, mmrec, movielens or microlens; `demo` only switches params.yaml back to the rendered set.
        path: Folder of the data.
        params: Where `dataset.columns` is read from; default: params.yaml in the current folder.

    Returns:
        The content hash of the snapshot; empty for `demo`.

    Raises:
        DataError: the data cannot be used; says which file or column, and what to do.
    """
    found = source_named(source)
    if not isinstance(found, OutsideSource):
        name_in_params(PARAMS, source, None, None)
        print(f"{PARAMS} names source '{source}', which needs no import. Next: dvc repro", flush=True)
        return ""
    columns = (params or _params_for(source)).dataset.columns
    snapshot, as_of = take_snapshot(found, _folder(source, path), columns, Pseudonyms.of_home())
    name_in_params(PARAMS, source, snapshot, as_of)
    print(f"snapshot {snapshot}\n{PARAMS} names it now. Next: dvc repro", flush=True)
    return snapshot


def take_snapshot(source: OutsideSource, path: Path, columns: Columns, names: Pseudonyms) -> tuple[str, str | None]:
    """Reads, cleans and keeps. Returns the content hash, and the instant the data are a picture of."""
    with making() as (connection, staging):
        as_of = _fill(source, path, columns, names, connection, staging)
        return keep(staging), as_of


def _fill(source: OutsideSource, path: Path, columns: Columns, names: Pseudonyms, connection: Any,
          staging: Path) -> str | None:  # fmt: skip
    """Writes everything a snapshot holds to `staging`."""
    start(connection)
    connection.create_function("pseudonym", pseudonym_of(names), ["VARCHAR"], "VARCHAR", type="arrow")
    say(f"reading {path}")
    raw = source.read(path, connection, columns)
    present = [spec.name for spec in DATASET_TABLES if table_exists(connection, f"raw_{spec.name}")]
    for name in present:
        clean(connection, name, raw.has_time)
    if raw.media_root is not None:
        check_media(connection, raw.media_root)
    _something_is_left(connection, present)
    for name in present:
        rows = write_query(connection, _ordered(name), staging / f"{name}.parquet", name)
        say(f"{name}: {rows} rows")
    _write_rejected(connection, present, staging)
    for modality, vectors in raw.given.items():
        _copy_vectors(vectors, staging / "given" / f"{modality}.npy")
    as_of = instant_after(connection) if raw.has_time else None
    for note in raw.notes:
        say(note)
    _write_meta(source, raw, names, as_of, staging)
    return as_of


def _something_is_left(connection: Any, present: list[str]) -> None:
    """Refuses to lose a whole table: its encoding, ids or times are not what they are taken for.

    Raises:
        DataError: a table has rows, and none of them can be used; says why the first one cannot.
    """
    for name in present:
        kept = connection.execute(f'select count(*) from "{name}"').fetchone()[0]
        lost = connection.execute(
            f"select count(*), arg_min(reason, row) from (select row, reason from \"rejected_{name}\" union all "
            "select line - 1, 'line ' || line || ': ' || message from unreadable where \"table\" = ?)", [name]
        ).fetchone()  # fmt: skip
        if lost[0] and not kept:
            raise DataError(f"{name}: none of the {lost[0]} rows can be used. The first one: {lost[1]}.")
        if name == "interactions" and not kept:
            say("there are no interactions: features can be extracted, but nothing can be trained")


def _write_meta(source: OutsideSource, raw: Raw, names: Pseudonyms, as_of: str | None, staging: Path) -> None:
    write_meta(staging, DatasetMeta(
        source=source.name, synthetic=False, as_of=as_of, has_time=raw.has_time,
        media_root=str(raw.media_root) if raw.media_root else None, key_fingerprint=names.fingerprint,
        given_features=tuple(raw.given),
    ))  # fmt: skip


def pseudonym_of(names: Pseudonyms) -> Callable[[pa.Array], pa.Array]:
    def pseudonyms(ids: pa.Array) -> pa.Array:
        return pa.array([None if user is None else names.of(user) for user in ids.to_pylist()], pa.string())

    return pseudonyms


def _ordered(name: str) -> str:
    """The query of a clean table in its order: events by time and then as they came, all else as it came.

    Nothing is ever ordered by a pseudonym, so that two homes with two keys get the same rows in the same order.
    """
    columns = ", ".join(
        f"pseudonym({quoted(c)}) as {quoted(c)}" if c == "user_id" else quoted(c) for c in TABLES[name].schema.names
    )
    order = "timestamp nulls first, row" if name in TIMED else "row"
    return f'select {columns} from "{name}" order by {order}'


def check_media(connection: Any, root: Path) -> None:
    """Moves items whose path leaves the folder to the rejects, and hashes the files of all others."""
    rows = connection.execute("select row, media_uri from items where media_uri is not null order by row").fetchall()
    reasons = {row: escape(root, uri) for row, uri in rows}
    bad = pa.table({"row": pa.array([r for r, why in reasons.items() if why], pa.int64()),
                    "reason": pa.array([why for why in reasons.values() if why], pa.string())})  # fmt: skip
    connection.register("escaped", bad)
    connection.execute(
        "insert into rejected_items select row, item_id, reason, "
        "to_json(struct_pack(item_id := item_id, media_uri := media_uri))::varchar from items join escaped using (row)"
    )
    connection.execute("delete from items where row in (select row from escaped)")
    for name in TIMED:
        if table_exists(connection, name):
            _drop_orphans(connection, name)
    kept = [(row, uri) for row, uri in rows if not reasons[row]]
    hashes = hash_all(root, [uri for _, uri in kept], _progress("hashing media"))
    known = pa.table({"row": pa.array([row for row, _ in kept], pa.int64()), "sha256": pa.array(hashes, pa.string())})
    connection.register("hashed", known)
    connection.execute("update items set media_sha256 = hashed.sha256 from hashed where items.row = hashed.row")
    if missing := [uri for (_, uri), value in zip(kept, hashes, strict=True) if value is None]:
        say(f"{len(missing)} media files are missing or unreadable, such as {some(missing[:EXAMPLES])}; their items "
            "stay and count as without media")  # fmt: skip


def _drop_orphans(connection: Any, name: str) -> None:
    """Rejects rows whose item was rejected after the rows were checked."""
    lost = f'from "{name}" where item_id not in (select item_id from items)'
    connection.execute(
        f"insert into \"rejected_{name}\" select row, item_id, 'item ''' || item_id || ''' was not taken', null {lost}"
    )
    connection.execute(f"delete {lost}")


def _write_rejected(connection: Any, present: list[str], staging: Path) -> None:
    """`rejected.parquet`, and a summary for the person who waits."""
    parts = [f'select \'{name}\' as "table", row, item_id, reason, content from "rejected_{name}"' for name in present]
    parts.append('select "table", line - 1 as row, null as item_id, \'line \' || line || \': \' || message as reason, '
                 "null as content from unreadable")  # fmt: skip
    connection.execute(f"create view rejected as {' union all '.join(parts)}")
    query = 'select * from rejected order by "table", row, reason'
    rows = write_query(connection, query, staging / "rejected.parquet", "quarantine")
    kinds = connection.execute(
        "select \"table\", regexp_replace(reason, '''[^'']*''', '…', 'g') as kind, count(*) as n, any_value(reason) "
        "from rejected group by all order by n desc, 1, 2 limit 20"
    ).fetchall()
    say(f"not taken: {rows} rows")
    for table, _, count, example in kinds:
        say(f"  {table}: {count} × {example}")


def _copy_vectors(source: Path, target: Path) -> None:
    """Copies ready-made vectors `[n_items, dim]` as float32, block by block.

    Rows that are all zero or not finite become NaN: missing, in the terms of a data set.

    Raises:
        DataError: the file is no two-dimensional array of numbers.
    """
    try:
        vectors = np.load(source, mmap_mode="r", allow_pickle=False)
    except ValueError as error:
        raise DataError(f"{source} is not a plain .npy array: {error}") from error
    target.parent.mkdir(parents=True, exist_ok=True)
    out = np.lib.format.open_memmap(  # type: ignore[no-untyped-call]
        target, mode="w+", dtype=np.float32, shape=vectors.shape
    )
    for first in range(0, len(vectors), BLOCK):
        block = np.asarray(vectors[first : first + BLOCK], dtype=np.float32)
        absent = ~np.isfinite(block).all(axis=1) | (block == 0).all(axis=1)
        out[first : first + BLOCK] = np.where(absent[:, None], np.float32(np.nan), block)
    out.flush()


def instant_after(connection: Any) -> str | None:
    """The first whole second after the newest instant in the data: what they are a picture of.

    New items count, not only events. Instants that are in the future now do not: one wrong row must not move the date.
    """
    columns = [("items", "published_at"), ("users", "joined_at"), *((name, "timestamp") for name in TIMED)]
    parts = [f'select "{column}" as t from "{name}"' for name, column in columns if table_exists(connection, name)]
    query = (
        "select coalesce(max(t) filter (where t <= now()), max(t)) at time zone 'UTC' "
        f"from ({' union all '.join(parts)})"
    )
    moment: datetime | None = connection.execute(query).fetchone()[0]
    return None if moment is None else f"{(moment.replace(microsecond=0) + timedelta(seconds=1)).isoformat()}+00:00"


def name_in_params(path: Path, source: str, snapshot: str | None, as_of: str | None) -> None:
    """Writes source, snapshot and as_of into params.yaml; comments and order stay.

    Raises:
        ParamsError: there is no such file.
    """
    from ruamel.yaml import YAML
    from ruamel.yaml.scalarstring import DoubleQuotedScalarString

    if not path.is_file():
        raise ParamsError(f"{path} does not exist; run from the project's folder.")
    yaml = YAML()
    yaml.preserve_quotes = True
    yaml.width = 4096
    yaml.representer.add_representer(type(None), lambda r, _: r.represent_scalar("tag:yaml.org,2002:null", "null"))
    values = yaml.load(path.read_text(encoding="utf-8"))
    section = values.setdefault("dataset", {})
    section["source"], section["snapshot"] = source, snapshot
    section["as_of"] = DoubleQuotedScalarString(as_of) if as_of else None
    aside = path.with_suffix(".new")
    with aside.open("w", encoding="utf-8") as file:
        yaml.dump(values, file)
    aside.replace(path)


def _params_for(source: str) -> Params:
    """params.yaml as it will be: it may already name the source whose snapshot is only being made."""
    import yaml

    if not PARAMS.is_file():
        raise ParamsError(f"{PARAMS} does not exist; run from the project's folder.")
    values = yaml.safe_load(PARAMS.read_text(encoding="utf-8")) or {}
    values["dataset"] = {**values.get("dataset", {}), "source": source, "snapshot": "being made"}
    return parse_params(values, str(PARAMS))


def _folder(source: str, path: Path | str | None) -> Path:
    if path is None:
        raise DataError(f"source '{source}' needs a folder: avrec data import {source} PATH")
    folder = Path(path)
    if not folder.is_dir():
        raise DataError(f"{path} is not a folder. Source '{source}' reads a folder of this machine.")
    return folder.resolve()


def table_exists(connection: Any, table: str) -> bool:
    query = "select count(*) from information_schema.tables where table_name = ?"
    return bool(connection.execute(query, [table]).fetchone()[0])


def say(text: str) -> None:
    print(f"  {text}", flush=True)


def _progress(what: str) -> Callable[[int, int], None]:
    """Progress on one line of a terminal; in a log, a line every thousand."""

    def show(done: int, of: int) -> None:
        if sys.stderr.isatty():
            print(f"\r  {what}: {done}/{of}", end="\n" if done == of else "", file=sys.stderr, flush=True)
        elif done == of or done % 1000 == 0:
            say(f"{what}: {done}/{of}")

    return show
