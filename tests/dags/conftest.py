"""The DAG files as Airflow reads them, in an Airflow home of the test session's own."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
DAGS = ROOT / "dags"


@pytest.fixture(scope="session")
def dagbag(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Airflow reads its configuration on import, so it is given a home before that."""
    os.environ.setdefault("AIRFLOW_HOME", str(tmp_path_factory.mktemp("airflow")))
    os.environ.setdefault("AIRFLOW__CORE__LOAD_EXAMPLES", "False")
    sys.path.insert(0, str(DAGS))
    from airflow.dag_processing.dagbag import DagBag

    with pytest.MonkeyPatch.context() as patch:
        # Who may answer depends on the home: a person's demo home must not matter here.
        patch.setenv("AVREC_HOME", str(tmp_path_factory.mktemp("dags-home")))
        bag = DagBag(str(DAGS), bundle_path=DAGS)
    yield bag
    sys.path.remove(str(DAGS))
