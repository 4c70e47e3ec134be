"""What the age of a model costs, on the data of the current folder, which is a checkout of a run.

python -m pipelines.inside RUN --inputs-of evaluate --inputs-of refit -- python -m pipelines.staleness
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path

from avrec.errors import told
from avrec.params import load_params
from pipelines.stage import ARTIFACTS, DATA


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m pipelines.staleness", description=__doc__)
    parser.add_argument("--days", type=int, nargs="+", default=None, help="ages in days; default 0 7 14 28")
    parser.add_argument("--json", type=Path, help="also write the rows here")
    given = parser.parse_args(arguments)
    try:
        return run(given)
    except Exception as error:
        return told("staleness", error)


def run(given: argparse.Namespace) -> int:
    from avrec.evaluation.protocol import TestSet
    from avrec.evaluation.staleness import AGES, markdown, staleness
    from avrec.matching.training import saved_ranker
    from pipelines.refit import training_reports

    params = load_params()
    on = TestSet.read(DATA / "valid", DATA / "split", DATA / "features")
    found = staleness(on, params.matching, training_reports(), params.evaluation, given.days or AGES,
                      saved_ranker(ARTIFACTS / "models" / "hybrid"))  # fmt: skip
    print(markdown(found, f"ndcg@{params.evaluation.primary_k}"), flush=True)
    if given.json:
        given.json.write_text(json.dumps([asdict(one) for one in found], indent=2) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
