"""Great Expectations, as thin as it goes: one frame, one list of expectations, one result without anything that differs
between two equal runs."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import pandas as pd

WARNING, CRITICAL = "warning", "critical"


@dataclass(frozen=True)
class Check:
    """One expectation and what follows where it fails.

    Attributes:
        type: Name of a class of `great_expectations.expectations`.
        kwargs: Its arguments.
        reason: What the report and the quarantine say of a row or table that fails.
        severity: `critical` stops the pipeline, `warning` is reported.
        quarantines: Rows that fail are taken out; the check itself then fails only beyond `mostly`.
    """

    type: str
    kwargs: dict[str, Any]
    reason: str
    severity: str = CRITICAL
    quarantines: bool = False


@dataclass
class SuiteResult:
    """What a suite said of one frame.

    Attributes:
        name: Name of the suite.
        document: The validation result as JSON values, equal for equal frames.
        failed: Reason and severity of each check that failed.
        rejected: Positions of the rows to quarantine, with the reasons that apply to each.
    """

    name: str
    document: dict[str, Any]
    failed: list[tuple[str, str]] = field(default_factory=list)
    rejected: dict[int, list[str]] = field(default_factory=dict)

    def keep(self, rows: int) -> npt.NDArray[np.bool_]:
        """Mask `[rows]` of the rows that are not rejected."""
        mask = np.ones(rows, bool)
        mask[list(self.rejected)] = False
        return mask


class Validator:
    """Runs suites in one in-memory context.

    Example:
        ```python
        check = Check("ExpectColumnValuesToBeBetween", {"column": "n", "min_value": 0}, "n is negative")
        Validator().run("items", frame, [check]).failed
        ```
    """

    def __init__(self) -> None:
        os.environ["GX_ANALYTICS_ENABLED"] = "false"
        logging.getLogger("great_expectations").setLevel(logging.WARNING)
        import great_expectations as gx

        self._gx = gx
        self._context = gx.get_context(mode="ephemeral")
        self._context.variables.progress_bars = {"globally": False, "metric_calculations": False}
        self._source = self._context.data_sources.add_pandas("frames")
        self._count = 0

    def run(self, name: str, frame: pd.DataFrame, checks: Sequence[Check]) -> SuiteResult:
        """Validates `frame`; its index must be 0, 1, 2, ..."""
        self._count += 1
        suite = self._gx.ExpectationSuite(name, expectations=[self._expectation(check) for check in checks])
        asset = self._source.add_dataframe_asset(f"{name}-{self._count}")
        batch = asset.add_batch_definition_whole_dataframe("whole").get_batch({"dataframe": frame})
        outcome = batch.validate(suite, result_format={"result_format": "COMPLETE"})
        result = SuiteResult(name, _stable(outcome.to_json_dict(), name))
        for check, one in _paired(checks, outcome):
            _judge(result, check, one)
        return result

    def _expectation(self, check: Check) -> Any:
        kind = getattr(self._gx.expectations, check.type)
        return kind(**check.kwargs, severity=check.severity, notes=check.reason)


def _paired(checks: Sequence[Check], outcome: Any) -> Iterator[tuple[Check, Any]]:
    """Results come back in an order of GX's own; the notes tell which check each is of."""
    by_reason = {check.reason: check for check in checks}
    if len(by_reason) != len(checks):
        raise ValueError("checks: two checks of one suite share a reason; reasons tell them apart.")
    for one in outcome.results:
        yield by_reason[one.expectation_config.notes], one


def _judge(result: SuiteResult, check: Check, one: Any) -> None:
    if one.exception_info and one.exception_info.get("raised_exception"):
        result.failed.append((f"{check.reason}: {one.exception_info.get('exception_message')}", CRITICAL))
        return
    if not one.success:
        result.failed.append((check.reason, check.severity))
    if check.quarantines:
        for row in one.result.get("unexpected_index_list") or []:
            result.rejected.setdefault(int(row), []).append(check.reason)


_UNSTABLE = ("id", "batch_id", "unexpected_index_query")
_LONG = ("unexpected_list", "unexpected_index_list")


def _stable(document: dict[str, Any], name: str) -> dict[str, Any]:
    """The result without times, random ids and the full lists of rows (those are the quarantine's)."""
    kept = {key: _without(document[key]) for key in ("success", "results", "statistics")}
    kept["results"].sort(key=lambda one: str(one["expectation_config"].get("notes")))
    return {**kept, "suite_name": name, "suite_parameters": {}, "meta": {}}


def _without(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without(inner) for key, inner in value.items() if key not in (*_UNSTABLE, *_LONG)}
    return [_without(inner) for inner in value] if isinstance(value, list) else value
