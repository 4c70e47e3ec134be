"""Per-person metrics of an evaluation, paired by person."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from avrec.errors import RegistryError
from avrec.evaluation.significance import Comparison, paired_bootstrap
from avrec.registry.policy import PairedPolicy

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Evidence:
    """`per_user.parquet` of one evaluation: `matcher, slice, user_id` and a column a metric."""

    frame: pd.DataFrame

    @classmethod
    def read(cls, path: Path) -> Evidence:
        """Reads the file.

        Raises:
            RegistryError: it is missing, or lacks its key columns.
        """
        import pandas as pd

        if not path.is_file():
            raise RegistryError(f"{path} is missing; the gate compares person by person. Run `dvc repro evaluate`.")
        frame = pd.read_parquet(path)
        missing = [name for name in ("matcher", "slice", "user_id") if name not in frame.columns]
        if missing:
            raise RegistryError(f"{path}: columns {missing} are missing; found {list(frame.columns)}.")
        return cls(frame)

    def of(self, matcher: str, part: str, metric: str) -> pd.Series:
        """Values by user id; empty where the matcher or slice was not evaluated.

        Raises:
            RegistryError: the metric was not measured.
        """
        if self.frame.empty:  # nobody in the test had anything new
            return self.frame.set_index("user_id")["matcher"].astype(float)
        if metric not in self.frame.columns:
            raise RegistryError(f"per_user.parquet has no '{metric}'; found {list(self.frame.columns)}.")
        rows = self.frame[(self.frame["matcher"] == matcher) & (self.frame["slice"] == part)]
        return rows.set_index("user_id")[metric]


def compare(a: pd.Series, b: pd.Series, paired: PairedPolicy) -> Comparison | None:
    """`a` less `b` over the people in both; None where they are too few to say anything."""
    people = a.index.intersection(b.index, sort=False)
    if len(people) < paired.min_users:
        return None
    first, second = a.loc[people].to_numpy(dtype=float), b.loc[people].to_numpy(dtype=float)
    found = paired_bootstrap(first, second, paired.samples, paired.seed, paired.level)
    return found if found.users >= paired.min_users else None
