"""`make audit`: known vulnerabilities of the locked packages, by pip-audit; what it could not look up is no pass.

    python -m avrec.platform.audit TOOL [LOCK]...

Without a lock: every `requirements*.lock`, that of the tests and those of the images. Exit code 0: every package was
looked up, and nothing is known against it, or what is known is excused in `audit-exceptions.yaml`, with a reason and a
day until which that holds. 1: vulnerable. 2: not audited.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from avrec.errors import AvrecError, ParamsError
from avrec.platform.doctor import locked_versions
from avrec.settings import PROJECT

EXCEPTIONS = PROJECT / "audit-exceptions.yaml"
CLEAN, VULNERABLE, NOT_AUDITED = 0, 1, 2
LONGEST_S = 1800
SHOWN = 10


class Excuse(BaseModel):
    """A known vulnerability that does not count until a day, and why."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str
    package: str
    reason: str = Field(min_length=20)
    expires: date


@dataclass(frozen=True)
class Verdict:
    """What an audit found.

    Attributes:
        vulnerable: A line a vulnerability that nothing excuses.
        excused: A line one that is.
        unaudited: A line a package nobody looked up, or the reason why nothing was.
        unused: Excuses for what is not found any more: remove them.
    """

    vulnerable: tuple[str, ...]
    excused: tuple[str, ...]
    unaudited: tuple[str, ...]
    unused: tuple[str, ...]

    @property
    def code(self) -> int:
        """A hole in the audit weighs more than a finding: nobody knows what is behind it."""
        return NOT_AUDITED if self.unaudited else VULNERABLE if self.vulnerable else CLEAN


def read_excuses(path: Path = EXCEPTIONS) -> list[Excuse]:
    """Reads the exceptions.

    Raises:
        ParamsError: an entry has no id, package, reason or day, or anything else.
    """
    if not path.is_file():
        return []
    try:
        return [Excuse.model_validate(entry) for entry in yaml.safe_load(path.read_text(encoding="utf-8")) or []]
    except (ValidationError, yaml.YAMLError, TypeError) as error:
        raise ParamsError(f"{path} is not valid; each entry needs id, package, reason and expires: {error}") from error


def judge(report: Mapping[str, Any], locked: Mapping[str, str], excuses: Sequence[Excuse], today: date) -> Verdict:
    """Compares what pip-audit reported with the lock and the exceptions.

    Args:
        report: pip-audit's JSON.
        locked: Version of every package that must have been looked up.
        excuses: The exceptions.
        today: Day on which they must still hold.
    """
    vulnerable, excused, used, seen = [], [], set(), {}
    unaudited = []
    for entry in report["dependencies"]:
        name = _normal(entry["name"])
        if "skip_reason" in entry:
            unaudited.append(f"{name}: {entry['skip_reason']}")
            continue
        seen[name] = entry["version"]
        for found in entry["vulns"]:
            ids = {found["id"], *found.get("aliases", ())}
            excuse = next((e for e in excuses if e.id in ids and _normal(e.package) == name), None)
            fixed = ", ".join(found.get("fix_versions") or ()) or "none"
            line = f"{name} {entry['version']}: {found['id']} (fixed in {fixed})"
            used |= {excuse} if excuse else set()
            if excuse and excuse.expires >= today:
                excused.append(f"{line}, until {excuse.expires}: {excuse.reason}")
            else:
                vulnerable.append(line + (f"; its exception expired on {excuse.expires}" if excuse else ""))
    skipped = {line.partition(":")[0] for line in unaudited}
    for name, version in locked.items():
        if _normal(name) not in skipped and seen.get(_normal(name)) != version:
            unaudited.append(f"{_normal(name)} {version}: not in the tool's report")
    unused = [f"{e.id} of {e.package}" for e in excuses if e not in used]
    return Verdict(tuple(vulnerable), tuple(excused), tuple(unaudited), tuple(unused))


def audit(tool: str, locks: Sequence[Path], excuses: Sequence[Excuse], today: date) -> Verdict:
    """Runs pip-audit over locks; whatever keeps it from a complete report makes the verdict "not audited".

    Raises:
        ParamsError: two locks hold different versions of a package: pip-audit would look one of them up.
    """
    locked = together(locks)
    with tempfile.TemporaryDirectory() as folder:
        every, out = Path(folder) / "every.txt", Path(folder) / "report.json"
        every.write_text("".join(f"{name}=={version}\n" for name, version in locked.items()), encoding="utf-8")
        command = [tool, "--requirement", str(every), "--disable-pip", "--no-deps", "--progress-spinner", "off",
                   "--format", "json", "--output", str(out)]  # fmt: skip
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=LONGEST_S, check=False)
        except (OSError, subprocess.TimeoutExpired) as error:
            return _nobody_knows(str(error))
        try:
            report = json.loads(out.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            said = done.stderr.strip().splitlines() or ["it wrote no report"]
            return _nobody_knows(f"code {done.returncode}: {said[-1][:500]}")
    return judge(report, locked, excuses, today)


def together(locks: Sequence[Path]) -> dict[str, str]:
    """Version of every package of some locks.

    Raises:
        ParamsError: two of them disagree.
    """
    found: dict[str, str] = {}
    for lock in locks:
        for name, version in locked_versions(lock.read_text(encoding="utf-8")).items():
            if found.setdefault(_normal(name), version) != version:
                raise ParamsError(f"{lock}: {name} {version}, but {found[_normal(name)]} in another lock; `make lock`.")
    return found


def by_reason(unaudited: Sequence[str]) -> list[str]:
    """A line a reason: what nobody looked up mostly has one reason for all."""
    reasons: dict[str, list[str]] = {}
    for line in unaudited:
        name, _, why = line.partition(": ")
        reasons.setdefault(why.partition(f": {name}")[0], []).append(name)
    return [f"{', '.join(names[:SHOWN])}{f' and {len(names) - SHOWN} more' if len(names) > SHOWN else ''}: {why} "
            f"({len(names)})" for why, names in reasons.items()]  # fmt: skip


def _nobody_knows(why: str) -> Verdict:
    """The tool came to no report: no package counts as looked up."""
    line = f"everything: pip-audit, {why}. Run it again where the index of vulnerabilities can be reached."
    return Verdict((), (), (line,), ())


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def main(arguments: list[str]) -> int:
    tool, locks = arguments[0], [Path(lock) for lock in arguments[1:]] or sorted(PROJECT.glob("requirements*.lock"))
    try:
        verdict = audit(tool, locks, read_excuses(), datetime.now(UTC).date())
    except AvrecError as error:
        print(f"audit: {error}", file=sys.stderr)
        return NOT_AUDITED
    for word, lines in (("excused", verdict.excused), ("not needed any more", verdict.unused),
                        ("VULNERABLE", verdict.vulnerable), ("NOT AUDITED", by_reason(verdict.unaudited))):  # fmt: skip
        for line in lines:
            print(f"{word}: {line}")
    print(("clean", "vulnerable", "not audited")[verdict.code])
    return verdict.code


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
