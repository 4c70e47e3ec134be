"""An audit passes only where everything was looked up; exceptions have a reason and an end."""

from __future__ import annotations

import sys
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from avrec.errors import ParamsError
from avrec.platform.audit import (
    CLEAN,
    NOT_AUDITED,
    VULNERABLE,
    Excuse,
    audit,
    by_reason,
    judge,
    main,
    read_excuses,
    together,
)

TODAY = date(2026, 6, 1)
LOCKED = {"good": "1.0", "Bad_Name": "2.0"}
HOLE: dict[str, Any] = {"id": "PYSEC-2026-1", "aliases": ["CVE-2026-1"], "fix_versions": ["2.1"], "description": ""}
WHY = "Only its server part is affected, which nothing here starts."


def report(*holes: dict[str, Any], skipped: bool = False) -> dict[str, Any]:
    good: dict[str, Any] = {"name": "good", "version": "1.0", "vulns": []}
    if skipped:
        good = {"name": "good", "skip_reason": "Dependency not found on PyPI"}
    return {"dependencies": [good, {"name": "bad-name", "version": "2.0", "vulns": list(holes)}], "fixes": []}


def excuse(expires: date, identity: str = "CVE-2026-1") -> Excuse:
    return Excuse(id=identity, package="bad.name", reason=WHY, expires=expires)


def test_a_complete_report_without_findings_is_clean() -> None:
    assert judge(report(), LOCKED, [], TODAY).code == CLEAN


def test_a_finding_is_named_with_its_fix() -> None:
    verdict = judge(report(HOLE), LOCKED, [], TODAY)
    assert verdict.code == VULNERABLE
    assert verdict.vulnerable == ("bad-name 2.0: PYSEC-2026-1 (fixed in 2.1)",)


def test_an_exception_holds_until_its_day_and_by_any_of_the_names() -> None:
    assert judge(report(HOLE), LOCKED, [excuse(TODAY)], TODAY).code == CLEAN
    late = judge(report(HOLE), LOCKED, [excuse(date(2026, 5, 31))], TODAY)
    assert late.code == VULNERABLE
    assert "expired on 2026-05-31" in late.vulnerable[0]
    assert judge(report(), LOCKED, [excuse(TODAY)], TODAY).unused == ("CVE-2026-1 of bad.name",)


@pytest.mark.parametrize("seen", [report(skipped=True), {"dependencies": report()["dependencies"][1:]}])
def test_a_package_nobody_looked_up_is_no_pass(seen: dict[str, Any]) -> None:
    verdict = judge(seen, LOCKED, [], TODAY)
    assert verdict.code == NOT_AUDITED
    assert verdict.unaudited[0].startswith("good")


def test_a_tool_that_cannot_do_its_work_is_no_pass(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lock = tmp_path / "lock.txt"
    lock.write_text("good==1.0\n")
    assert audit(str(tmp_path / "absent"), [lock], [], TODAY).code == NOT_AUDITED
    assert main([sys.executable, str(lock)]) == NOT_AUDITED  # a program that knows none of the arguments
    *_, why, verdict = capsys.readouterr().out.splitlines()
    assert verdict == "not audited"
    assert why.startswith("NOT AUDITED: everything: pip-audit, code 2") and "can be reached" in why


def test_an_exception_needs_a_reason_and_an_end(tmp_path: Path) -> None:
    path = tmp_path / "exceptions.yaml"
    path.write_text("- {id: CVE-1, package: x, reason: later}\n")
    with pytest.raises(ParamsError, match="expires"):
        read_excuses(path)
    assert read_excuses() == []


def test_all_locks_are_looked_at_as_one_and_must_agree(root: Path, tmp_path: Path) -> None:
    locks = sorted(root.glob("requirements*.lock"))
    every = together(locks)
    assert len(locks) > 3 and {"tensorflow", "apache-airflow", "nvidia-cudnn-cu12"} <= set(every)
    (tmp_path / "one.lock").write_text("Some_Package==1.0\n")
    (tmp_path / "two.lock").write_text("some-package==1.1\n")
    with pytest.raises(ParamsError, match="another lock"):
        together([tmp_path / "one.lock", tmp_path / "two.lock"])


def test_one_reason_for_many_packages_is_said_once() -> None:
    lines = [f"p{i}: not found: p{i} (1.0)" for i in range(12)] + ["q 2.0: not in the tool's report"]
    first, second = by_reason(lines)
    assert first.endswith("p9 and 2 more: not found (12)")
    assert second == "q 2.0: not in the tool's report (1)"
