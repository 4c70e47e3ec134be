"""What the gate says: one check a line, and the verdict that follows from them."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

PASSED, REFUSED = "passed", "refused"


@dataclass(frozen=True)
class Check:
    """One thing that was looked at.

    Attributes:
        name: What; the part before the dot is its group.
        passed: False refuses the version.
        explanation: A sentence for the person who approves.
        value, bound: What was found and what was allowed; None where neither is a number.
        void: The question could not be asked; says so, and refuses nothing.
    """

    name: str
    passed: bool
    explanation: str
    value: float | None = None
    bound: float | None = None
    void: bool = False

    @property
    def word(self) -> str:
        return "void" if self.void else ("ok" if self.passed else "REFUSED")


def void(name: str, why: str) -> Check:
    """A check that could not be made."""
    return Check(name, True, f"Void: {why}", void=True)


@dataclass(frozen=True)
class GateReport:
    """The gate's word on one version.

    Attributes:
        version: Registered version.
        run_id: MLflow run it came from.
        champion: Version it was compared with, if there was one.
        synthetic: Whether the figures are of data no person made.
        checks: In the order they were made.
        judged_at: ISO instant.
        thresholds: The policy as it was.
    """

    version: str
    run_id: str
    champion: str | None
    synthetic: bool
    checks: tuple[Check, ...]
    judged_at: str
    thresholds: dict[str, Any]

    @property
    def passed(self) -> bool:
        return all(check.passed for check in self.checks)

    @property
    def verdict(self) -> str:
        return PASSED if self.passed else REFUSED

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why it was refused."""
        return tuple(check.explanation for check in self.checks if not check.passed)

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "checks": [asdict(check) for check in self.checks], "verdict": self.verdict}

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> GateReport:
        """Reads what `to_json` gave."""
        fields = {name: value for name, value in values.items() if name not in ("verdict", "checks")}
        return cls(checks=tuple(Check(**check) for check in values["checks"]), **fields)

    def markdown(self) -> str:
        """A table for the approval page."""
        lines = [
            f"**Gate: {self.verdict}**",
            "",
            "| check | result | found | allowed | meaning |",
            "| --- | --- | ---: | ---: | --- |",
        ]
        for check in self.checks:
            found, allowed = (number(value) for value in (check.value, check.bound))
            lines.append(f"| {check.name} | {check.word} | {found} | {allowed} | {check.explanation} |")
        return "\n".join(lines) + "\n"


def number(value: float | None) -> str:
    """A figure for a person: 10,020 rather than 1.002e+04."""
    if value is None:
        return ""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
