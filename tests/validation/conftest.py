from __future__ import annotations

import pytest

from avrec.validation.gx import Validator


@pytest.fixture(scope="session")
def validator() -> Validator:
    """One context for the whole session: starting Great Expectations takes seconds."""
    return Validator()
