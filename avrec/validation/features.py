"""Validates one modality's vectors after extraction."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from avrec.errors import DataError
from avrec.params import ValidationParams
from avrec.schema import FEATURES, MEDIA_TYPES
from avrec.validation.gx import CRITICAL, WARNING, Check, Validator

LARGEST_NORM = 1e6


EXPECTED = {"visual": ("video", "movie"), "audio": tuple(t for t in MEDIA_TYPES if t != "text"), "text": MEDIA_TYPES}
"""Media types that should have each modality; a podcast misses nothing by having no picture."""


def check_features(folder: Path, modality: str, params: ValidationParams, items: pa.Table) -> dict[str, Any]:
    """Checks `folder/features/part-*.parquet`: keys, share of missing items, lengths, finiteness, norms.

    Args:
        folder: Output of the stage `features@MODALITY`.
        modality: visual, audio or text; a data set that has none of it at all passes with a warning.
        params: Bounds.
        items: The items table; tells which items should have the modality.

    Returns:
        `{"results": GX document, "critical": [...], "warnings": [...]}`, equal for equal vectors.
    """
    frame = _frame(folder)
    types = dict(zip(items["item_id"].to_pylist(), items["media_type"].to_pylist(), strict=True))
    expected = frame["item_id"].map(types).isin(EXPECTED[modality])
    frame["present_as_expected"] = frame["present"].where(expected)
    suite = Validator().run(f"features {modality}", frame, _checks(modality, frame, params))
    by = {severity: [reason for reason, s in suite.failed if s == severity] for severity in (CRITICAL, WARNING)}
    return {"results": suite.document, "critical": by[CRITICAL], "warnings": by[WARNING]}


def raise_if_critical(modality: str, report: dict[str, Any]) -> None:
    """Stops the pipeline where a critical check failed.

    Raises:
        DataError: names the checks.
    """
    if report["critical"]:
        reasons = "\n  ".join(report["critical"])
        raise DataError(f"features@{modality}: critical checks failed:\n  {reasons}\nBounds: params.yaml, validation.")


def _checks(modality: str, frame: pd.DataFrame, params: ValidationParams) -> list[Check]:
    least = 1.0 - float(getattr(params, f"max_missing_{modality}"))
    # A source without this modality (behaviour only, vectors of another modality only) is not broken.
    severity = CRITICAL if frame["present"].any() else WARNING
    dim = float(frame["dim"].max()) if frame["present"].any() else 0.0
    share = [
        Check("ExpectColumnMeanToBeBetween", {"column": "present_as_expected", "min_value": least},
              f"more items lack {modality} than max_missing_{modality} allows", severity),
    ]  # fmt: skip
    return [
        *(share if frame["present_as_expected"].notna().any() else []),
        Check("ExpectTableRowCountToBeBetween", {"min_value": 1}, "no item has a row"),
        Check("ExpectColumnValuesToBeUnique", {"column": "item_id"}, "an item has two rows"),
        Check("ExpectColumnValuesToBeInSet", {"column": "dim", "value_set": [dim]}, "vectors differ in length"),
        Check("ExpectColumnValuesToBeInSet", {"column": "finite", "value_set": [1]}, "a vector holds NaN or infinity"),
        Check("ExpectColumnValuesToBeBetween", {"column": "norm", "min_value": 1e-12, "max_value": LARGEST_NORM},
              f"a vector is all zero or longer than {LARGEST_NORM:g}"),
        Check("ExpectColumnProportionOfUniqueValuesToBeBetween", {"column": "norm", "min_value": 0.05},
              "most vectors are alike", WARNING),
    ]  # fmt: skip


def _frame(folder: Path) -> pd.DataFrame:
    """One row an item; `dim`, `finite` and `norm` are empty where the modality is missing."""
    parts = [
        _part(FEATURES.conform(pq.read_table(part))) for part in sorted((folder / "features").glob("part-*.parquet"))
    ]
    if not parts:
        raise DataError(f"{folder}/features holds no part-*.parquet; the stage wrote nothing.")
    return pd.concat(parts, ignore_index=True)


def _part(table: pa.Table) -> pd.DataFrame:
    present = table["present"].to_numpy(zero_copy_only=False)
    vectors = [np.asarray(v.values, np.float32) if ok else None for v, ok in zip(table["vector"], present, strict=True)]
    return pd.DataFrame({
        "item_id": table["item_id"].to_pylist(),
        "present": present.astype(int),
        "dim": [np.nan if v is None else float(len(v)) for v in vectors],
        "finite": [np.nan if v is None else float(np.isfinite(v).all()) for v in vectors],
        "norm": [np.nan if v is None else float(np.linalg.norm(v.astype(np.float64))) for v in vectors],
    })  # fmt: skip
