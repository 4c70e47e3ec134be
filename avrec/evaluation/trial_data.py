"""What settings are tried on: training data, one half of the validation people to choose on, the other to judge."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from avrec.datasets.dataset import Dataset
from avrec.errors import DataError
from avrec.evaluation.public import load_public
from avrec.matching.checkpoints import add_data
from avrec.matching.data import Catalog, Interactions
from avrec.matching.loading import load_catalog, load_split, validation_halves


@dataclass(frozen=True)
class TrialData:
    """Data without its test part, which no trial may see.

    Attributes:
        name: For people.
        catalog, train: Learned from.
        choose: Validation of half of its users, for early stopping and what a matcher chooses itself.
        judge: Validation of the others, by which trials are compared.
    """

    name: str
    catalog: Catalog
    train: Interactions
    choose: Interactions
    judge: Interactions

    @property
    def key(self) -> str:
        """Hash of all of it."""
        digest = hashlib.sha256()
        add_data(digest, self.catalog, self.train, self.choose, self.judge)
        return digest.hexdigest()[:16]


def trial_data(root: Path, seed: int, public: str | None = None, folder: Path | None = None) -> TrialData:
    """The data of a project folder, or a public data set.

    Args:
        root: Project in which the stages up to the features have run.
        seed: Halves the validation users, as the stage train does.
        public: Instead of the project's: tiktok or movielens.
        folder: Of the public data set, laid out as docs/real-data.md says.

    Raises:
        DataError: something is missing.
    """
    if (public is None) != (folder is None):
        raise DataError("--public and --data belong together: the name of a public data set, and the folder it is in.")
    if public and folder:
        found = load_public(public, folder)
        return TrialData(public, found.catalog, found.train, *validation_halves(found.val, seed))
    data = root / "data"
    if not (data / "valid").is_dir():
        raise DataError(f"{data / 'valid'} is missing; run `dvc repro`, or name a public data set with --public.")
    catalog = load_catalog(Dataset(data / "valid"), data / "features")
    split = load_split(data / "split", catalog)
    return TrialData("project", catalog, split.train, *validation_halves(split.val, seed))
