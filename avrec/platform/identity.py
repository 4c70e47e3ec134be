"""Who may sign in: generated users with roles, and the check of a password.

The same names and passwords hold for Airflow, MLflow and `avrec models approve`. They are generated on the first start
and stay in `settings().secrets/users.json` (0600). The name of the shell's user is not an identity.
"""

from __future__ import annotations

import hmac
import json
import secrets
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

import yaml

from avrec.errors import PlatformError
from avrec.platform.files import private_folder, write_private
from avrec.settings import PROJECT, settings

ROLES = ("admin", "operator", "approver", "viewer")
DEMO_APPROVER = "demo_approver"
PASSWORD_BYTES = 18


@dataclass(frozen=True)
class User:
    """One entry of the users file; `automated` marks a user no person stands behind."""

    name: str
    roles: tuple[str, ...]
    password: str
    automated: bool = False


@dataclass(frozen=True)
class Identity:
    """Somebody whose password was right."""

    name: str
    roles: tuple[str, ...]
    automated: bool = False

    def may_approve(self, approvers: Iterable[str]) -> bool:
        """Whether they have the role and configuration names them; an admin has no say by being admin.

        The demo's approver needs no naming: it exists in demo homes only, and its records say `automated`.
        """
        return "approver" in self.roles and (self.name in set(approvers) or self.automated)


def users_file() -> Path:
    return settings().secrets / "users.json"


def login(username: str, password: str) -> Identity:
    """Checks a password against the users file of this home.

    Raises:
        PlatformError: there is no users file yet, or name and password do not belong together (which of them is wrong
            is not said).
    """
    users = read_users()
    known = users.get(username)
    expected = known.password if known else secrets.token_urlsafe(PASSWORD_BYTES)  # equal work for unknown names
    if not hmac.compare_digest(expected.encode(), password.encode()) or known is None:
        raise PlatformError(f"Login refused for '{username}': name and password do not match {users_file()}.")
    return Identity(known.name, known.roles, known.automated)


def read_users() -> dict[str, User]:
    """The users of this home by name.

    Raises:
        PlatformError: the file is missing or broken.
    """
    try:
        values = json.loads(users_file().read_text(encoding="utf-8"))
        return {name: User(name, tuple(v["roles"]), v["password"], v["automated"]) for name, v in values.items()}
    except FileNotFoundError as error:
        raise PlatformError(f"{users_file()} does not exist; `avrec up` makes it on its first start.") from error
    except (ValueError, KeyError, TypeError) as error:
        raise PlatformError(f"{users_file()} is broken ({error}); move it away and run `avrec up`.") from error


def password_of(username: str) -> str:
    """The generated password of a user, for our own calls to the servers.

    Raises:
        PlatformError: no such user.
    """
    users = read_users()
    if username not in users:
        raise PlatformError(f"No user '{username}' in {users_file()}; there are {', '.join(users)}.")
    return users[username].password


def configured_approvers() -> tuple[str, ...]:
    """Names under `approvers` in mlflow/promotion.yaml; `approver` where it names none.

    Raises:
        PlatformError: the value is not a list of names.
    """
    policy = settings().policy or PROJECT / "mlflow" / "promotion.yaml"
    values = yaml.safe_load(policy.read_text(encoding="utf-8")) if policy.exists() else None
    names = (values or {}).get("approvers") or ["approver"]
    if not isinstance(names, list) or not all(_is_name(name) for name in names):
        raise PlatformError(f"{policy}: approvers must be a list of names of letters, digits, '_', '-', got {names!r}.")
    return tuple(names)


def _is_name(value: object) -> bool:
    return isinstance(value, str) and value.replace("_", "").replace("-", "").isalnum()


def ensure_users(demo: bool) -> dict[str, User]:
    """Adds whoever is missing: admin, operator, viewer, the configured approvers and, in a demo home, its approver."""
    private_folder(settings().secrets)
    users = read_users() if users_file().exists() else {}
    before = dict(users)
    wanted = {"admin": "admin", "operator": "operator", "viewer": "viewer"}
    wanted |= dict.fromkeys(configured_approvers(), "approver")
    if demo:
        wanted[DEMO_APPROVER] = "approver"
    for name, role in wanted.items():
        if name not in users:
            users[name] = User(name, (role,), secrets.token_urlsafe(PASSWORD_BYTES), automated=name == DEMO_APPROVER)
    if not demo:
        users.pop(DEMO_APPROVER, None)
    entries = {name: {k: v for k, v in asdict(user).items() if k != "name"} for name, user in users.items()}
    if users != before:  # a file that is handed over by an orchestrator can be read and not replaced
        write_private(users_file(), json.dumps(entries, indent=1))
    return users
