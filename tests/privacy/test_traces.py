"""Crossing out in logs and databases."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

from avrec.privacy.pseudonyms import Pseudonyms
from avrec.privacy.receipts import Receipts, Subjects
from avrec.privacy.scan import Scanner
from avrec.privacy.traces import Redaction, remove_old, sqlite_files

NAMES = Pseudonyms(b"k" * 32)
ANNA, BEN = NAMES.of("anna"), NAMES.of("ben")


def subjects(folder: Path) -> Subjects:
    receipts = Receipts(str(folder / "receipts"), NAMES)
    receipts.add([ANNA], [], "2026-03-01")
    return receipts.subjects()


def test_a_log_keeps_its_length_and_everybody_else(tmp_path: Path) -> None:
    log = tmp_path / "logs" / "a.log"
    log.parent.mkdir()
    log.write_text(f"list of {ANNA}, {BEN}\nasked by anna; susanna did not\n", encoding="utf-8")
    with log.open("a") as writer:  # a server that has it open goes on writing to the same file
        assert Redaction(subjects(tmp_path), ["anna"]).files([log.parent]) == 1
        writer.write("later\n")
    assert log.read_text() == f"list of {'x' * 33}, {BEN}\nasked by xxxx; susanna did not\nlater\n"


def test_a_database_forgets_rows_and_free_pages(tmp_path: Path) -> None:
    path = tmp_path / "var" / "x.db"
    path.parent.mkdir()
    connection = sqlite3.connect(path)
    connection.execute("pragma secure_delete = off")
    connection.execute("pragma journal_mode = wal")
    connection.execute("create table t (k text primary key, x text, y blob)")
    connection.executemany("insert into t values (?, ?, ?)", [(str(n), f"{ANNA} {n}", b"") for n in range(900)])
    connection.execute("delete from t where rowid > 1")
    connection.execute("insert into t values (?, 'kept', ?)", (BEN, f'{{"u": "{ANNA}"}}'.encode()))
    connection.commit()
    connection.close()
    assert sqlite_files(path.parent) == [path]
    assert Redaction(subjects(tmp_path)).databases([path]) == 2
    assert Scanner([ANNA]).folders([path.parent]) == []
    assert sqlite3.connect(path).execute("select x from t where k = ?", (BEN,)).fetchone() == ("kept",)


def test_old_files_go_and_young_ones_stay(tmp_path: Path) -> None:
    for name, age in (("old.log", 40), ("young.log", 2)):
        (tmp_path / name).write_text("x")
        os.utime(tmp_path / name, (1e9 - age * 86400, 1e9 - age * 86400))
    assert remove_old([tmp_path], 30, now=1e9) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["young.log"]
