"""Stage `evaluate`: every matcher and every twin on the test part, and what the reports and plots need."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from avrec.datasets.dataset import Dataset
from avrec.evaluation import plots, report
from avrec.evaluation.ablation import ABLATED, ablation
from avrec.evaluation.protocol import HYBRID, TWIN, Evaluated, TestSet, evaluate_all
from avrec.evaluation.tradeoff import best_trade, tradeoff
from avrec.matching.base import Matcher
from avrec.matching.data import Catalog
from avrec.matching.loading import val_histories
from avrec.matching.registry import MATCHERS, is_disabled, load_matcher
from avrec.params import Params
from pipelines.stage import ARTIFACTS, DATA, fresh, run, write_json


def work(params: Params) -> None:
    """Writes `artifacts/evaluation`, `artifacts/evaluation.json` and `artifacts/plots`."""
    on = TestSet.read(DATA / "valid", DATA / "split", DATA / "features")
    evaluated = evaluate_all(_matchers(on.catalog), on, params.evaluation)
    curve = _tradeoff(on, params.evaluation.primary_k)
    _write_report(evaluated, Dataset(DATA / "valid").meta.synthetic, best_trade(curve))
    _write_plots(evaluated)
    plots.write_csv(ARTIFACTS / "plots" / "diversity.csv", curve)


def _matchers(catalog: Catalog) -> Iterator[tuple[str, Matcher]]:
    """Loads one at a time, twins after the matcher they are of."""
    for name in MATCHERS:
        folder = ARTIFACTS / "models" / name
        if is_disabled(folder):
            continue
        print(f"  {name}", flush=True)
        yield name, load_matcher(folder, catalog)
        if (folder / "twin").is_dir():
            yield name + TWIN, load_matcher(folder / "twin", catalog)


def _tradeoff(on: TestSet, k: int) -> list[list[Any]]:
    """On validation people: by this curve `recommend.diversity` is chosen, and the test is not there to choose by."""
    print("  diversity", flush=True)
    hybrid = load_matcher(ARTIFACTS / "models" / HYBRID, on.catalog)
    return tradeoff(hybrid, val_histories(on.split), on.yardstick.vectors, k)


def _write_report(evaluated: Evaluated, synthetic: bool, trade: dict[str, Any] | None) -> None:
    folder = fresh(ARTIFACTS / "evaluation")
    report.write_per_user(folder / "per_user.parquet", evaluated)
    write_json(folder / "comparison.json", report.comparison(evaluated))
    write_json(folder / "test_period.json", evaluated.on.period)
    print("  ablation", flush=True)
    write_json(folder / "ablation.json", ablation(evaluated, {name: ARTIFACTS / "models" / name for name in ABLATED}))
    plots.write_csv(folder / "projection.csv", plots.projection(evaluated.on.catalog, evaluated.on.categories))
    write_json(ARTIFACTS / "evaluation.json", {**report.evaluation(evaluated, synthetic), "diversity": trade or "n/a"})


def _write_plots(evaluated: Evaluated) -> None:
    training = {name: json.loads((ARTIFACTS / "training" / f"{name}.json").read_text("utf-8")) for name in MATCHERS}
    folder = ARTIFACTS / "plots"
    plots.write_csv(folder / "recall_by_k.csv", plots.recall_by_k(evaluated))
    plots.write_csv(folder / "loss.csv", plots.loss(training))
    plots.write_csv(folder / "per_category.csv", plots.per_category(evaluated))
    plots.write_csv(folder / "calibration.csv", plots.calibration_rows(evaluated))


if __name__ == "__main__":
    run("evaluate", work)
