"""mlflow/promotion.yaml: what a version must show, and who may say yes. Typed, frozen, and a wrong key names itself."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import yaml
from pydantic import Field, ValidationError

from avrec.errors import ParamsError
from avrec.params import Positive, Section, Share
from avrec.settings import PROJECT, settings

POLICY = PROJECT / "mlflow" / "promotion.yaml"
Above = Annotated[float, Field(gt=0)]
Bounds = dict[str, dict[str, float]]
"""Metric bounds by slice."""


class PairedPolicy(Section):
    """Bootstrap over the same people: resamples, level of the interval, seed; slices with fewer people are void."""

    samples: Annotated[int, Field(ge=100)] = 2000
    level: Annotated[float, Field(gt=0.5, lt=1)] = 0.95
    seed: int = 7
    min_users: Positive = 20


class ChampionPolicy(Section):
    """Slices on which a challenger may not be worse, and by what share its mean may fall."""

    slices: tuple[str, ...] = ("all", "cold_all", "light_users")
    tolerance: Share = 0.1


class ContentPolicy(Section):
    """Slices of which at least one must show that the features are worth something."""

    slices: tuple[str, ...] = ("all", "cold_all", "cold_only")


class LeakPolicy(Section):
    """Quotients and values above which the future is taken to have been in the training."""

    max_test_over_validation: Above = 2.0
    max_over_best_single: Above = 3.0
    max_cold_by_ids: Above = 0.05


class TablePolicy(Section):
    """Bounds of the published table and of the bundle."""

    min_items: Positive = 20
    min_users: Positive = 10
    max_rows: Positive = 500_000_000
    max_bundle_mb: Above = 20_000


class LatencyPolicy(Section):
    """How many single requests are timed, how long their lists are, and the bound of the slowest twentieth."""

    requests: Positive = 20
    k: Positive = 10
    max_p95_ms: Above = 1000


class Policy(Section):
    """All of promotion.yaml."""

    approvers: tuple[str, ...] = ("approver",)
    min_reason: Positive = 10
    paired: PairedPolicy = PairedPolicy()
    minimum: Bounds = Field(default_factory=dict)
    maximum: Bounds = Field(default_factory=dict)
    baselines: tuple[str, ...] = ("popularity", "ease")
    champion: ChampionPolicy = ChampionPolicy()
    content: ContentPolicy = ContentPolicy()
    leak: LeakPolicy = LeakPolicy()
    table: TablePolicy = TablePolicy()
    latency: LatencyPolicy = LatencyPolicy()


def load_policy(path: Path | None = None) -> Policy:
    """Reads and checks the policy: `path`, else the file `AVREC_POLICY` names, else the project's.

    Raises:
        ParamsError: the file is missing, is not YAML, or has a wrong key or value.
    """
    path = path or settings().policy or POLICY
    try:
        return Policy.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")) or {})
    except FileNotFoundError as error:
        raise ParamsError(f"{path} does not exist; it says what a version must show. Restore it from git.") from error
    except yaml.YAMLError as error:
        raise ParamsError(f"{path} is not YAML: {error}") from error
    except ValidationError as error:
        lines = [f"  {'.'.join(map(str, e['loc']))}: {e['msg']} (got {e['input']!r:.80})" for e in error.errors()]
        raise ParamsError(f"{path} is not valid:\n" + "\n".join(lines)) from error
