"""Validates a whole data set: cleans each table, checks what is left, says what stops the pipeline."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from avrec.datasets.dataset import META, Dataset, DatasetMeta, write_table
from avrec.errors import DataError
from avrec.params import ValidationParams
from avrec.schema import DATASET_TABLES, ITEMS, QUARANTINE
from avrec.validation.clean import CHUNK, Cleaned, clean_table
from avrec.validation.gx import CRITICAL, WARNING, Check, SuiteResult, Validator
from avrec.validation.profile import drift_checks, load_profile, profile
from avrec.validation.rules import rules

LEAST_OF_A_DAY = 100
"""Fewer rows say nothing of a day."""


@dataclass
class Validation:
    """What validation found.

    Attributes:
        tables: What happened to each table.
        suites: Every suite's result, those of the tables included.
        profile: Distribution of the clean data set, a reference for later ones.
    """

    tables: list[Cleaned] = field(default_factory=list)
    suites: list[SuiteResult] = field(default_factory=list)
    profile: dict[str, Any] = field(default_factory=dict)

    def failures(self, severity: str) -> list[str]:
        return [f"{suite.name}: {reason}" for suite in self.suites for reason, s in suite.failed if s == severity]

    def metrics(self) -> dict[str, Any]:
        """Figures of `artifacts/validation.json`."""
        return {
            "rows": {table.name: table.rows for table in self.tables},
            "quarantined": {table.name: table.quarantined for table in self.tables},
            "checks": sum(suite.document["statistics"]["evaluated_expectations"] for suite in self.suites),
            "critical": self.failures(CRITICAL),
            "warnings": self.failures(WARNING),
        }

    def document(self, meta: DatasetMeta) -> dict[str, Any]:
        """Everything the data docs are rendered from; equal for equal data sets."""
        return {
            "dataset": {"source": meta.source, "synthetic": meta.synthetic},
            "suites": [suite.document for suite in self.suites],
            "tables": {t.name: t.summary() for t in self.tables},
            "critical": self.failures(CRITICAL),
            "warnings": self.failures(WARNING),
        }

    def raise_if_critical(self) -> None:
        """Stops the pipeline where a critical check failed.

        Raises:
            DataError: names every critical check that failed.
        """
        if critical := self.failures(CRITICAL):
            raise DataError(
                "critical checks failed:\n  "
                + "\n  ".join(critical)
                + "\nThe data docs show the rows; bounds are in params.yaml under validation."
            )


def clean_dataset(raw: Dataset, params: ValidationParams, valid: Path, quarantine: Path, result: Validation,
                  validator: Validator) -> Dataset:  # fmt: skip
    """Writes the rows of every table that hold to `valid` and the others to `quarantine`."""
    connection = duckdb.connect()
    connection.execute("set timezone = 'UTC'")
    for spec in DATASET_TABLES:
        if not raw.has(spec.name):
            continue
        cleaned = clean_table(
            validator, connection, spec.name, raw.path(spec.name),
            rules(spec.name, params, raw.meta.has_time), raw.meta.as_of, valid, quarantine,
        )  # fmt: skip
        result.tables.append(cleaned)
        result.suites.extend(cleaned.suites)
        connection.read_parquet(str(valid / f"{spec.name}.parquet")).create_view(spec.name)
        if spec is ITEMS and not raw.has("users"):
            connection.execute("create view users as select null::varchar user_id limit 0")
    check_newest(params, result, validator)
    shutil.copy(raw.folder / META, valid / META)
    _keep_given_vectors(raw, valid)
    return Dataset(valid)


def check_whole(valid: Dataset, media: pa.Table, params: ValidationParams, result: Validation,
                validator: Validator) -> None:  # fmt: skip
    """Checks what only a whole table can tell: that there is something to learn from, balance, drift."""
    reference = load_profile(params.reference_profile, valid.meta.source)
    result.profile = profile(valid)
    frames = {
        "items": _sample(valid, "items"),
        "interactions": _sample(valid, "interactions").assign(
            is_positive=lambda f: (f["label"] == "positive").astype(int)
        ),
        "media": _media_frame(valid, media),
    }
    for name, frame in frames.items():
        checks = [
            *_whole_checks(name, params, frame),
            *(drift_checks(reference, name, params.max_drift) if reference else []),
        ]
        if checks:
            result.suites.append(validator.run(f"{name} as a whole", frame, checks))


def check_newest(params: ValidationParams, result: Validation, validator: Validator) -> None:
    """Checks that not too much of the newest day was put aside, however little of a long log that is."""
    for table in result.tables:
        if table.newest >= LEAST_OF_A_DAY:
            reason = f"too many {table.name} of the newest day are unusable"
            check = _share("usable", 1 - params.max_quarantined, reason)
            frame = pd.DataFrame({"usable": [table.newest_kept / table.newest]})
            result.suites.append(validator.run(f"{table.name} of the newest day", frame, [check]))


def write_media(media: pa.Table, valid: Path, quarantine: Path) -> None:
    """Writes the probe's rows, and to quarantine those whose file is not what it should be."""
    write_table(valid, "media", media)
    bad = media.filter(pc.is_in(media["status"], pa.array(["refused", "partial"])))
    rows = [
        {"table": "media", "item_id": row["item_id"], "reason": row["reason"] or row["status"],
         "content": json.dumps(row, sort_keys=True)}
        for row in bad.to_pylist()
    ]  # fmt: skip
    table = QUARANTINE.conform(pa.Table.from_pylist(rows, schema=QUARANTINE.schema))
    quarantine.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, quarantine / "media.parquet", compression="zstd", store_schema=False)


def _whole_checks(name: str, params: ValidationParams, frame: pd.DataFrame) -> list[Check]:
    if name == "items":
        return [Check("ExpectTableRowCountToBeBetween", {"min_value": 1}, "no item is left to recommend")]
    if name == "interactions":
        return [
            Check("ExpectTableRowCountToBeBetween", {"min_value": 1}, "no interaction is left to learn from"),
            _share("is_positive", params.min_positive_share, "too few interactions are positive"),
        ]
    if frame.empty:
        return []
    return [
        _share("has_video", 1 - params.max_missing_visual, "too many media files have no picture"),
        _share("has_audio", 1 - params.max_missing_audio, "too many media files have no sound"),
    ]


def _share(column: str, least: float, reason: str) -> Check:
    return Check("ExpectColumnMeanToBeBetween", {"column": column, "min_value": least}, reason)


def _sample(dataset: Dataset, table: str) -> pd.DataFrame:
    """Every n-th row, so that at most `CHUNK` rows are in memory."""
    columns = {"items": "media_type, category, duration_s", "interactions": "event, label, watch_ratio"}[table]
    rows = pq.read_metadata(dataset.path(table)).num_rows
    step = max(1, -(-rows // CHUNK))
    path = str(dataset.path(table))
    query = f"select {columns} from read_parquet('{path}', file_row_number = true) where file_row_number % {step} = 0"
    frame: pd.DataFrame = dataset.sql(query).df()
    return frame


def _media_frame(valid: Dataset, media: pa.Table) -> pd.DataFrame:
    """1 or 0 for each stream an item of its type should have; empty where it should not have it."""
    files = (
        media.filter(pc.not_equal(media["status"], "none")).select(["item_id", "has_video", "has_audio"]).to_pandas()
    )
    types = valid.table("items").select(["item_id", "media_type"]).to_pandas()
    frame = files.merge(types, on="item_id", how="left")
    seen = frame["media_type"].isin(["video", "movie"])
    return pd.DataFrame(
        {"has_video": frame["has_video"].astype(float).where(seen), "has_audio": frame["has_audio"].astype(float)}
    )


def _keep_given_vectors(raw: Dataset, valid: Path) -> None:
    """Ready-made vectors follow the items that are left, in their order."""
    if not raw.meta.given_features:
        return
    before = raw.table("items")["item_id"].to_pylist()
    rows = {item: row for row, item in reversed(list(enumerate(before)))}
    index = np.array([rows[item] for item in Dataset(valid).table("items")["item_id"].to_pylist()], dtype=np.int64)
    (valid / "given").mkdir()
    for modality in raw.meta.given_features:
        vectors = np.load(raw.folder / "given" / f"{modality}.npy", mmap_mode="r", allow_pickle=False)
        np.save(valid / "given" / f"{modality}.npy", vectors[index], allow_pickle=False)
