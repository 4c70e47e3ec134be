"""Fixtures that any test may use."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings

if TYPE_CHECKING:
    from playwright.sync_api import Browser

ROOT = Path(__file__).resolve().parent.parent

# A busy machine is not a wrong result: property tests assert no time, and try the same examples everywhere.
hypothesis_settings.register_profile(
    "avrec",
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
hypothesis_settings.load_profile("avrec")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Of several workers one begins with the platform's tests, which take as long as all others together."""
    if hasattr(config, "workerinput"):
        items.sort(key=lambda item: item.get_closest_marker("platform") is None)


@pytest.fixture(scope="session")
def root() -> Path:
    """The project's folder."""
    return ROOT


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real data that is not part of the project; `AVREC_SHARED_DATA` says where it is."""
    folder = Path(os.environ.get("AVREC_SHARED_DATA") or ROOT.parent / "shared" / "data")
    if not folder.is_dir():
        pytest.skip("real data not here: set AVREC_SHARED_DATA to a folder laid out as docs/real-data.md says")
    return folder


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Every test has a home of its own; nothing touches the one a person uses."""
    folder = tmp_path / "home"
    monkeypatch.setenv("AVREC_HOME", str(folder))
    return folder


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """An installed Chromium, driven headless."""
    from tests.end_to_end.clicking import QUIET, chromium_path

    executable = chromium_path()
    if executable is None:
        pytest.skip("no Chromium on this machine: install it, or name it with AVREC_CHROMIUM")
    from playwright.sync_api import sync_playwright

    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("AVREC_HOME", raising=False)  # it outlives the test that asks first, and its home
        playwright = sync_playwright().start()
        chromium = playwright.chromium.launch(executable_path=executable, args=[*QUIET])
    yield chromium
    chromium.close()
    playwright.stop()
