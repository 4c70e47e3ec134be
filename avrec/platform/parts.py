"""What the platform is made of, as data: the supervisor knows only this, not Airflow or MLflow."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from avrec.errors import PlatformError
from avrec.platform.files import write_private


@dataclass(frozen=True)
class Probe:
    """How to see that a part answers: status 200 at `url` and, if `path` is given, `expects` there in the JSON."""

    url: str
    path: tuple[str, ...] = ()
    expects: str = "healthy"


@dataclass(frozen=True)
class Part:
    """One child process.

    Attributes:
        name: Also the name of its log file.
        command: Arguments, no shell.
        cwd: Folder it runs in.
        probe: None for a part that has no address; such a part counts as answering while it lives.
        once: It is expected to end with code 0 and is not restarted (a migration).
        stamp: A file that is made when a `once` part has ended well; where it exists the part is not run again.
        needs: Parts that must answer, or have ended well, before this one starts.
        address: What a person opens in a browser.
        environment: Added to the environment of the supervisor. No secrets: those come from there.
    """

    name: str
    command: tuple[str, ...]
    cwd: str
    probe: Probe | None = None
    once: bool = False
    needs: tuple[str, ...] = ()
    address: str | None = None
    stamp: str | None = None
    environment: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Plan:
    """All parts, in the order of starting, and the folder of their state and logs."""

    home: str
    parts: tuple[Part, ...]

    def write(self, path: Path) -> None:
        write_private(path, json.dumps(asdict(self), indent=1))

    @classmethod
    def read(cls, path: Path) -> Plan:
        """Reads what `write` wrote.

        Raises:
            PlatformError: the file is missing or not a plan.
        """
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
            return cls(values["home"], tuple(_part(part) for part in values["parts"]))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise PlatformError(f"{path} is not a plan of the platform ({error}); run `avrec up`.") from error


def _part(values: dict[str, Any]) -> Part:
    probe = values.pop("probe")
    for name in ("command", "needs"):
        values[name] = tuple(values[name])
    return Part(probe=Probe(probe["url"], tuple(probe["path"]), probe["expects"]) if probe else None, **values)
