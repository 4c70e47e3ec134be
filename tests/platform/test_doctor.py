from __future__ import annotations

from pathlib import Path

import pytest

from avrec.platform import doctor
from avrec.platform.doctor import Finding
from avrec.platform.identity import ensure_users, users_file


def test_a_lock_is_compared_with_what_is_installed(tmp_path: Path) -> None:
    lock = tmp_path / "requirements.lock"
    marker = "; python_full_version < '3.12'"
    lock.write_text(
        f"# made by\npytest==0.0.1 {marker} \\\n    --hash=sha256:00\nnot-a-package==1 \\\n    --hash=sha256:00\n"
    )
    (finding,) = doctor.packages(lock)
    assert finding.verdict == "broken"
    assert "lock: 0.0.1" in finding.detail and "not-a-package missing" in finding.detail
    assert finding.todo == "make install"


def test_entries_for_other_systems_do_not_count() -> None:
    text = "a==1 ; sys_platform == 'nowhere' \\\nb[extra]==2 \\\nc==3 ; python_version > '3' \\\n    # via d==4\n"
    assert doctor.locked_versions(text) == {"b": "2", "c": "3"}


def test_the_projects_own_lock_is_readable() -> None:
    wanted = doctor.locked_versions(doctor.LOCK.read_text(encoding="utf-8"))
    assert wanted["tensorflow"] == "2.16.2"
    assert len(wanted) > 100


def test_readable_secrets_are_broken() -> None:
    ensure_users(demo=False)
    (good,) = doctor.secrets()
    assert good.verdict == "ok"
    users_file().chmod(0o644)
    (bad,) = doctor.secrets()
    assert bad.verdict == "broken"
    assert str(users_file()) in bad.detail and "chmod" in bad.todo


def test_no_secrets_yet_is_a_note() -> None:
    (finding,) = doctor.secrets()
    assert (finding.verdict, finding.todo) == ("note", "`avrec up` makes them on its first start")


def test_git_dvc_room_and_ports_are_looked_at() -> None:
    subjects = {finding.subject for check in (doctor.tools, doctor.room, doctor.ports) for finding in check()}
    assert {"git", "dvc", "repository", "disk", "memory"} <= subjects


def test_native_ops_run_for_real() -> None:
    (finding,) = doctor.native_ops()
    assert finding.verdict == "ok", finding


def test_one_broken_finding_is_the_exit_code(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(doctor, "native_ops", lambda: [])
    monkeypatch.setattr(doctor, "packages", lambda: [])
    assert doctor.examine(lambda: [Finding("x", "ok", "fine")]) == 0
    assert doctor.examine(lambda: [Finding("x", "broken", "gone", "mend it")]) == 1
    assert "x                gone -> mend it" in capsys.readouterr().out
