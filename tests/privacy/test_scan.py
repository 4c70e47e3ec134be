"""The scanner finds a mark wherever it may hide, and nowhere else."""

from __future__ import annotations

import gzip
import sqlite3
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from avrec.errors import DataError
from avrec.privacy.scan import Scanner

MARK = "mark-7c1f-äöü"


def parquet(path: Path) -> None:
    nested = pa.array([["one", MARK], None, []], pa.list_(pa.string()))
    pq.write_table(pa.table({"n": [1, 2, 3], "tags": nested}), path, compression="zstd")


def archive(path: Path) -> None:
    np.savez_compressed(path.with_suffix(".npz"), user_ids=np.array(["other", MARK]))


def zipped_text(path: Path) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("inner.txt", f"says {MARK}.")


def free_page(path: Path) -> None:
    """Deleted rows stay on free pages until something overwrites them."""
    connection = sqlite3.connect(path)
    connection.execute("pragma secure_delete = off")
    connection.execute("create table t (x text)")
    connection.executemany("insert into t values (?)", [(f"{MARK} {n}",) for n in range(2000)])
    connection.commit()
    connection.execute("delete from t")
    connection.commit()
    connection.close()


HIDING: dict[str, Callable[[Path], object]] = {
    "plain": lambda path: path.write_text(f"x{MARK}x", encoding="utf-8"),
    "across pieces": lambda path: path.write_bytes(b"." * ((1 << 22) - 3) + MARK.encode()),
    "json": lambda path: path.write_text('{"a": "mark-7c1f-\\u00e4\\u00f6\\u00fc"}'),
    "parquet": parquet,
    "npz": archive,
    "zip": zipped_text,
    "gzip": lambda path: path.write_bytes(gzip.compress(MARK.encode())),
    "git object": lambda path: path.write_bytes(zlib.compress(b"blob 9\0" + MARK.encode())),
    "free page": free_page,
    "name": lambda path: path.with_name(f"{MARK}.bin").write_bytes(b""),
}


@pytest.mark.parametrize("where", list(HIDING))
def test_a_mark_is_found_where_it_hides(tmp_path: Path, where: str) -> None:
    HIDING[where](tmp_path / "hidden")
    assert {hit.mark for hit in Scanner([MARK]).folders([tmp_path])} == {MARK}
    assert Scanner(["mark-0000"]).folders([tmp_path]) == []


def test_a_short_mark_is_refused() -> None:
    with pytest.raises(DataError, match="4 characters"):
        Scanner(["ab"])


def test_a_link_to_a_folder_is_no_obstacle(tmp_path: Path) -> None:
    (tmp_path / "2026-03-01").mkdir()
    (tmp_path / "2026-03-01" / "dag.log").write_text(MARK, encoding="utf-8")
    (tmp_path / "latest").symlink_to(tmp_path / "2026-03-01")
    hits = Scanner([MARK]).folders([tmp_path])
    assert [Path(hit.where).name for hit in hits] == ["dag.log"]
