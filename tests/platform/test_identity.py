from __future__ import annotations

import json
from pathlib import Path

import pytest

from avrec.demo import _ask
from avrec.errors import PlatformError
from avrec.platform import config, identity
from avrec.platform.commands import Addresses
from avrec.platform.files import is_private, write_private


def test_users_are_made_once_and_private(home: Path) -> None:
    first = identity.ensure_users(demo=False)
    again = identity.ensure_users(demo=False)
    assert first == again
    assert {"admin", "operator", "viewer"} <= set(first)
    assert len({user.password for user in first.values()}) == len(first)
    assert is_private(identity.users_file())
    assert is_private(home / "secrets")


def test_login_gives_name_and_roles() -> None:
    users = identity.ensure_users(demo=False)
    person = identity.login("viewer", users["viewer"].password)
    assert (person.name, person.roles, person.automated) == ("viewer", ("viewer",), False)


@pytest.mark.parametrize(("name", "password"), [("viewer", "wrong"), ("viewer", ""), ("nobody", "x"), ("", "")])
def test_a_wrong_login_does_not_say_what_was_wrong(name: str, password: str) -> None:
    identity.ensure_users(demo=False)
    with pytest.raises(PlatformError, match="name and password do not match"):
        identity.login(name, password)


def test_login_without_users_says_what_to_do() -> None:
    with pytest.raises(PlatformError, match="avrec up"):
        identity.login("admin", "x")


def test_a_broken_users_file_is_named() -> None:
    write_private(identity.users_file(), json.dumps({"admin": {"roles": ["admin"]}}))
    with pytest.raises(PlatformError, match=r"users\.json is broken"):
        identity.read_users()


def test_the_demo_approver_is_there_in_demo_homes_only() -> None:
    assert identity.DEMO_APPROVER not in identity.ensure_users(demo=False)
    user = identity.ensure_users(demo=True)[identity.DEMO_APPROVER]
    assert user.automated
    assert identity.login(user.name, user.password).may_approve([])
    assert identity.DEMO_APPROVER not in identity.ensure_users(demo=False)
    with pytest.raises(PlatformError):
        identity.login(user.name, user.password)


def test_the_demo_asks_a_person_to_sign_in_as_one(capsys: pytest.CaptureFixture[str]) -> None:
    users = identity.ensure_users(demo=True)
    _ask(Addresses("http://127.0.0.1:1", "http://127.0.0.1:2"), "run")
    said = capsys.readouterr().out
    assert f"Sign in as 'approver', password {users['approver'].password}" in said
    assert identity.DEMO_APPROVER not in said  # what that one answers is recorded as automated


def test_only_named_approvers_approve() -> None:
    approver = identity.Identity("ann", ("approver",))
    assert approver.may_approve(["ann"])
    assert not approver.may_approve(["bob"])
    for role in ("admin", "operator", "viewer"):
        assert not identity.Identity("ann", (role,)).may_approve(["ann"])


def test_approvers_come_from_the_policy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(identity, "PROJECT", tmp_path)
    policy = tmp_path / "mlflow" / "promotion.yaml"
    policy.parent.mkdir()
    assert identity.configured_approvers() == ("approver",)
    policy.write_text("approvers: [ann, bob-b]\n")
    assert identity.configured_approvers() == ("ann", "bob-b")
    assert {"ann", "bob-b"} <= set(identity.ensure_users(demo=False))
    for bad in ("ann", "['a:admin']", "[1]", "['a,b']"):
        policy.write_text(f"approvers: {bad}\n")
        with pytest.raises(PlatformError, match="approvers must be a list"):
            identity.configured_approvers()


def test_a_secret_is_made_once_and_private(home: Path) -> None:
    first = config.secret("airflow-jwt")
    assert config.secret("airflow-jwt") == first
    assert config.secret("airflow-api") != first
    assert is_private(home / "secrets" / "airflow-jwt")
