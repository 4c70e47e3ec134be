from __future__ import annotations

import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from avrec.errors import DataError
from avrec.privacy.pseudonyms import KEY_FILE, Pseudonyms, home_key
from avrec.settings import settings


def test_the_key_is_made_once_and_private() -> None:
    key = home_key()
    path = settings().secrets / KEY_FILE
    assert key == home_key()
    assert len(key) == 32
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert [p.name for p in path.parent.iterdir()] == [KEY_FILE]


def test_two_homes_have_two_keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = Pseudonyms.of_home()
    monkeypatch.setenv("AVREC_HOME", str(tmp_path / "other"))
    two = Pseudonyms.of_home()
    assert one.fingerprint != two.fingerprint
    assert one.of("anna") != two.of("anna")


def test_the_key_is_shown_nowhere() -> None:
    names = Pseudonyms(b"k" * 32)
    assert "kkkk" not in repr(names) and "kkkk" not in str(names)


@given(st.lists(st.text(), unique=True, max_size=50))
def test_different_people_have_different_pseudonyms(users: list[str]) -> None:
    names = Pseudonyms(b"k" * 32)
    assert len({names.of(user.encode("utf-8", "replace").decode()) for user in users}) <= len(users)
    assert all(len(names.of(user.encode("utf-8", "replace").decode())) == 33 for user in users)


@pytest.mark.parametrize("content", ["not hex", "abcd", ""])
def test_a_file_that_is_no_key_is_an_error(content: str) -> None:
    path = settings().secrets / KEY_FILE
    path.parent.mkdir(parents=True)
    path.write_text(content, encoding="ascii")
    with pytest.raises(DataError, match=r"pseudonym\.key"):
        home_key()
