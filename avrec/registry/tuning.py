"""`avrec tune`: a search for a matcher's settings on validation, gone on with after an interruption.

The search is Optuna's TPE (Bergstra et al., "Algorithms for hyper-parameter optimization", NIPS 2011). A trial fits the
matcher on the training part, lets it choose and stop early on one half of the validation people as always, and is
judged by the other half. The test part is never read.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from avrec.errors import ParamsError
from avrec.evaluation.trial_data import TrialData, trial_data
from avrec.matching.base import Matcher
from avrec.matching.registry import build
from avrec.matching.selection import validation_quality
from avrec.matching.spaces import Numbers, settings_now, space_of, with_settings
from avrec.params import Params
from avrec.registry import client as server
from avrec.registry.studies import Study
from avrec.settings import settings

if TYPE_CHECKING:
    import optuna


BEFORE = "before"
"""What a study remembers of params.yaml as it is: its figure."""

AT_RANDOM = 8
"""Trials before the search learns from those there are."""


@dataclass(frozen=True)
class Found:
    """What a search came to.

    Attributes:
        matcher: Which.
        metric: What is compared.
        settings: The best of all trials.
        value: Their figure on validation.
        before: That of params.yaml as it is.
        trials: How many were completed, those of earlier calls included.
        run_id: Of the parent in MLflow.
    """

    matcher: str
    metric: str
    settings: dict[str, Any]
    value: float
    before: float
    trials: int
    run_id: str

    def lines(self) -> str:
        """What to write into params.yaml."""
        values = "".join(f"    {name}: {value}\n" for name, value in self.settings.items())
        return f"matching:\n  {self.matcher}:\n{values}"

    def told(self) -> str:
        """What a person needs: the figures, and the lines."""
        text = (
            f"\n{self.metric} on validation: {self.value:.4f} after {self.trials} trials; params.yaml as it is: "
            f"{self.before:.4f}.\nThe best of many is kinder than it is: the test part of the next run judges.\n"
            f"MLflow run {self.run_id}, a child a trial. "
        )
        return text + (f"For params.yaml:\n\n{self.lines()}" if self.value > self.before else "Nothing was better.\n")


def tune(
    matcher: str, params: Params, root: Path, trials: int, public: str | None = None, folder: Path | None = None
) -> Found:
    """Searches until a study holds `trials` completed trials.

    Args:
        matcher: One of `avrec.matching.spaces.SPACES`.
        params: Of the project.
        root: Its folder.
        trials: In all, those of earlier calls included.
        public: Instead of the project's data, a public data set.
        folder: Of the public data set.

    Raises:
        ParamsError: the matcher has nothing to be tried, `trials` is below 1, or somebody else searches here.
        DataError: data are missing.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    space = {name: _distribution(among) for name, among in space_of(matcher).items()}
    if trials < 1:
        raise ParamsError(f"--trials {trials}: expected at least 1.")
    on, metric = trial_data(root, params.matching.seed, public, folder), f"ndcg@{params.evaluation.primary_k}"
    key = study_key(matcher, params, on)
    with _alone(key):
        study, runs = open_study(key, params.matching.seed), Study(server.connect(), key, f"tune {matcher}, {on.name}")
        if BEFORE not in study.user_attrs:
            _try_as_it_is(study, runs, matcher, params, on, metric)
        while (done := completed(study)) < trials:
            trial = study.ask(space)
            chosen = {name: short(value) for name, value in trial.params.items()}
            values = judged(build(matcher, with_settings(params.matching, matcher, chosen)), on)
            study.tell(trial, values[metric])
            runs.trial(str(trial.number), f"{matcher} {trial.number}", chosen, values)
            print(
                f"tune: {done + 1} of {trials}: {metric} {values[metric]:.4f}, best {study.best_value:.4f}", flush=True
            )
        return _finished(study, runs, matcher, metric)


def _try_as_it_is(study: optuna.Study, runs: Study, matcher: str, params: Params, on: TrialData, metric: str) -> None:
    """Judges params.yaml; where the space holds it, it counts as a trial."""
    import optuna

    values, now = judged(build(matcher, params.matching), on), settings_now(params.matching, matcher)
    if now is not None:
        space = {name: _distribution(among) for name, among in space_of(matcher).items()}
        study.add_trial(optuna.trial.create_trial(params=now, distributions=space, value=values[metric]))
    runs.trial("as it is", f"{matcher} as it is", getattr(params.matching, matcher).model_dump(mode="json"), values)
    study.set_user_attr(BEFORE, values[metric])  # last: whatever fails before is done again
    print(f"tune: params.yaml as it is: {metric} {values[metric]:.4f}", flush=True)


def _finished(study: optuna.Study, runs: Study, matcher: str, metric: str) -> Found:
    best = {name: short(value) for name, value in study.best_params.items()}
    found = Found(matcher, metric, best, study.best_value, study.user_attrs[BEFORE], completed(study), runs.run_id)
    values = {metric: found.value, f"{metric}_before": found.before, "trials": found.trials}
    runs.finish(found.settings, values, {"params.yaml": found.lines()})
    return found


def study_key(matcher: str, params: Params, on: TrialData) -> str:
    """Name of a study: the data, the seed, and every setting that is not searched for."""
    now = getattr(params.matching, matcher).model_dump(mode="json")
    fixed = {name: value for name, value in now.items() if name not in space_of(matcher)}
    said = json.dumps([on.key, params.matching.seed, params.evaluation.primary_k, fixed], sort_keys=True)
    return f"{matcher}-{hashlib.sha256(said.encode()).hexdigest()[:16]}"


def study_file() -> Path:
    """The database of all studies of this machine."""
    return settings().home / "tuning" / "studies.db"


def open_study(key: str, seed: int) -> optuna.Study:
    """The study of a key; a trial that was interrupted is queued again."""
    import optuna
    from optuna.trial import TrialState

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    logging.getLogger("alembic").setLevel(logging.WARNING)
    storage = f"sqlite:///{study_file()}"
    study = optuna.create_study(study_name=key, storage=storage, direction="maximize", load_if_exists=True)
    for trial in study.get_trials(states=(TrialState.RUNNING,)):
        study.tell(trial.number, state=TrialState.FAIL)
        study.enqueue_trial(trial.params)
    if done := completed(study):
        print(f"tune: going on after {done} trials from {study_file()}", file=sys.stderr, flush=True)
    # Seeded by what is there already: a search that goes on would draw the same again otherwise.
    study.sampler = optuna.samplers.TPESampler(seed=seed + len(study.trials), n_startup_trials=AT_RANDOM)
    return study


def completed(study: optuna.Study) -> int:
    """Trials that have a figure."""
    from optuna.trial import TrialState

    return len(study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,)))


def judged(matcher: Matcher, on: TrialData) -> dict[str, float]:
    """Fits on `train`, choosing on `choose`; figures over the people of `judge`."""
    matcher.fit(on.catalog, on.train, on.choose)
    return validation_quality(matcher, on.train, on.judge)


def short(value: Any) -> Any:
    """Three digits of a number: what is tried is what can be written down."""
    return float(f"{value:.3g}") if isinstance(value, float) else value


def _distribution(among: Numbers | tuple[Any, ...]) -> Any:
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if not isinstance(among, Numbers):
        return CategoricalDistribution(among)
    if among.whole:
        return IntDistribution(int(among.low), int(among.high), log=among.log)
    return FloatDistribution(among.low, among.high, log=among.log)


@contextmanager
def _alone(key: str) -> Iterator[None]:
    """Two searches of one study would each take the other's trial for an interrupted one."""
    study_file().parent.mkdir(parents=True, exist_ok=True)
    with (study_file().parent / f"{key}.lock").open("w") as held:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ParamsError("tune: this search is running already; wait for it, or stop it.") from error
        yield
