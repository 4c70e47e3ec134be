"""The contract of every source of data.

A source is one module in this package with one subclass, named in `avrec.datasets.registry`. `DemoSource` makes its
data; all others derive from `avrec.datasets.outside.OutsideSource`, whose data are snapshot first.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import ClassVar

from avrec.datasets.dataset import Dataset
from avrec.params import DatasetParams


class Source(ABC):
    """Turns something outside into the tables of `avrec.schema`."""

    name: ClassVar[str]

    @abstractmethod
    def load(self, params: DatasetParams, folder: Path, media: Path) -> Dataset:
        """Writes the data set to `folder`; media it makes itself go to `media`, which exists and is empty.

        Equal parameters give equal bytes. Rows that no table can hold go to `rejected.parquet` with the reason; rows
        that are merely wrong stay, and validation judges them.

        Raises:
            DataError: the data cannot be used at all; says what to do.
        """
