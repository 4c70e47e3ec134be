"""What the age of a model costs: the deployed matchers, fitted again without the newest days, on the same test.

People's histories stay complete, as they are when an old model serves: only what was learned is old.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from avrec.errors import DataError
from avrec.evaluation.evaluate import evaluate_matcher
from avrec.evaluation.protocol import TestSet
from avrec.matching.loading import concat
from avrec.matching.reranking import Ranker
from avrec.matching.training import TwinReport, refit
from avrec.params import EvaluationParams, MatchingParams

DAY_S = 86400
AGES = (0, 7, 14, 28)


@dataclass(frozen=True)
class Age:
    """One age of one matcher.

    Attributes:
        matcher: Which.
        days: How long before the test its data end.
        interactions: How many it learned from.
        people: How many lists stand behind `values`.
        values: The primary metric by slice (`all`, `cold_all`), over the people of that slice.
    """

    matcher: str
    days: int
    interactions: int
    people: int
    values: dict[str, float]


def staleness(on: TestSet, matching: MatchingParams, reports: dict[str, TwinReport], evaluation: EvaluationParams,
              ages: Sequence[int] = AGES, ranker: Ranker | None = None) -> list[Age]:  # fmt: skip
    """Fits every enabled matcher once an age and measures all of them on one test.

    Args:
        on: The test set of a run.
        matching: Section `matching`.
        reports: What training said of each matcher: settings are not chosen again.
        evaluation: Section `evaluation`; its primary metric is reported.
        ages: Days between the end of the training data and the test.
        ranker: The boosted trees of the run's hybrid, where it has some.

    Raises:
        DataError: the data set has no time, or an age leaves nothing to learn from.
    """
    if on.period["from"] is None:
        raise DataError("staleness: this data set has no time, so that nothing in it is old.")
    begins = int(datetime.fromisoformat(on.period["from"]).timestamp())
    known = concat(on.split.train, on.split.val)
    slices = [part for part in on.slices if part.name in ("all", "cold_all")]
    k, found = evaluation.primary_k, []
    for days in ages:
        learned = known.where(known.timestamp < begins - days * DAY_S)
        if not len(learned.positives()):
            raise DataError(f"staleness: no like is older than {days} days before the test of {begins_at(begins)}.")
        for name, matcher in refit(matching, on.catalog, learned, reports, ranker).items():
            result = evaluate_matcher(matcher, on.histories, slices, [k], on.yardstick, k)
            values = {part: one.values[f"ndcg@{k}"] for part, one in result.items()}
            found.append(Age(name, days, len(learned), len(on.histories), values))
    return found


def begins_at(second: int) -> str:
    """An instant as a person reads it."""
    return datetime.fromtimestamp(second, UTC).date().isoformat()


def markdown(found: Sequence[Age], primary: str) -> str:
    """A table: a row a matcher, a column an age, with the share of the youngest in brackets."""
    ages = sorted({one.days for one in found})
    lines = [f"| {primary} on test | " + " | ".join(f"{days} days old" for days in ages) + " |"]
    lines.append("| --- |" + " ---: |" * len(ages))
    for name in dict.fromkeys(one.matcher for one in found):
        values = {one.days: one.values.get("all", 0.0) for one in found if one.matcher == name}
        young = values[ages[0]]
        cells = [f"{values[a]:.4f} ({values[a] / young:.2f})" if young else f"{values[a]:.4f}" for a in ages]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)
