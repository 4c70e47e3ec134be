"""What the monitor's steps decide; what it measures has tests of its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipelines import monitor


def test_a_version_of_the_data_starts_one_training(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AVREC_RUN_ID", "first")
    assert monitor.main(["retrain", "a.dir"]) == 0
    assert monitor.main(["retrain", "a.dir"]) == 0  # a retry of the same task
    monkeypatch.setenv("AVREC_RUN_ID", "second")
    assert monitor.main(["retrain", "a.dir"]) == 99
    assert monitor.main(["retrain", ""]) == 99
    assert monitor.main(["retrain", "b.dir"]) == 0


def test_with_nothing_to_look_at_it_says_so(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert monitor.main(["look"]) == 1
    assert "nothing to look at yet" in capsys.readouterr().err
    assert monitor.main(["look", "2026-03-02T06:00:00Z"]) == 1
    assert "nothing to look at yet" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["yesterday", "2026-13-01", "9998-01-01"])
def test_a_moment_that_is_none_or_still_to_come_is_refused(
    project: Path, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert monitor.main(["look", text]) == 1
    assert text in capsys.readouterr().err
