"""`avrec score`: the ML Test Score of this project, each of its 28 tests answered by commands that run.

The rubric: Breck, Cai, Nielsen, Salib and Sculley, "The ML Test Score: A Rubric for ML Production Readiness and
Technical Debt Reduction", IEEE Big Data 2017. A test gives one point where it runs automatically and repeatedly, half
a point where it was done by hand and the result is written down, none otherwise; a section's points are added, and the
score is the lowest of the four sections. The answers stand in `tests/ml_test_score.yaml`.
"""

from __future__ import annotations

import ast
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from avrec.errors import ParamsError
from avrec.settings import PROJECT

ANSWERS = "tests/ml_test_score.yaml"
PAGE = "docs/ml-test-score.md"
_HEAD = """# ML Test Score

Written by `avrec score`; do not edit. The rubric is that of Breck, Cai, Nielsen, Salib and Sculley,
*The ML Test Score: A Rubric for ML Production Readiness and Technical Debt Reduction*, IEEE Big Data 2017. One point:
runs automatically and repeatedly (`make test`, on every change). Half a point: done by hand with the result written
down, or automatic in part. The score is the lowest of the four sections.

**{score:g}** on {when} at commit {commit}, run in {seconds:.0f} s.

| section | points |
| --- | ---: |
{sections}"""
SECTIONS = ("Data", "Model", "Infrastructure", "Monitoring")
TESTS_A_SECTION = 7


@dataclass(frozen=True)
class Answer:
    """One of the 28 tests and what answers it.

    Attributes:
        section, number, title: As in the paper.
        shows: What is done, in a sentence.
        always: Tests that `make test` runs on every change: pytest node ids.
        by_hand: Commands a person runs, whose result is written down in `documented`.
        documented: The page with that result.
        lacks: What is missing for the full point; such a test gives at most half of it, with neither list none.
    """

    section: str
    number: int
    title: str
    shows: str
    always: tuple[str, ...] = ()
    by_hand: tuple[str, ...] = ()
    documented: str | None = None
    lacks: str | None = None

    @property
    def points(self) -> float:
        """What it gives if everything it names passes."""
        if self.always:
            return 0.5 if self.lacks else 1.0
        return 0.5 if self.by_hand and self.documented else 0.0


@dataclass
class Card:
    """The answers, and what running them gave.

    Attributes:
        answers: In the order of the paper.
        failed: Commands that did not pass, or name nothing.
        seconds: How long the run took; None where nothing was run.
    """

    answers: list[Answer]
    failed: set[str] = field(default_factory=set)
    seconds: float | None = None

    def points(self, answer: Answer) -> float:
        """Points of a test; none where something it names did not pass."""
        return 0.0 if self.failed & {*answer.always, *answer.by_hand} else answer.points

    def section(self, name: str) -> float:
        return sum(self.points(answer) for answer in self.answers if answer.section == name)

    @property
    def score(self) -> float:
        return min(self.section(name) for name in SECTIONS)


def read_answers(root: Path = PROJECT) -> list[Answer]:
    """Reads the answers.

    Raises:
        ParamsError: the file is missing (the score needs a source checkout), or a test is missing or twice.
    """
    path = root / ANSWERS
    if not path.is_file():
        raise ParamsError(
            f"{path} is missing: `avrec score` runs the project's own tests and needs its source checkout."
        )
    document: dict[str, list[dict[str, Any]]] = yaml.safe_load(path.read_text(encoding="utf-8"))
    if tuple(document) != SECTIONS or any(len(tests) != TESTS_A_SECTION for tests in document.values()):
        raise ParamsError(f"{path}: expected {TESTS_A_SECTION} tests in each of {SECTIONS}.")
    return [_answer(section, n, test) for section, tests in document.items() for n, test in enumerate(tests, start=1)]


def _answer(section: str, number: int, test: dict[str, Any]) -> Answer:
    always, by_hand = tuple(test.pop("always", ())), tuple(test.pop("by_hand", ()))
    return Answer(section, number, always=always, by_hand=by_hand, **test)


def unresolved(answers: Sequence[Answer], root: Path = PROJECT) -> set[str]:
    """Of everything the answers name, what is not there: test functions, modules, pages."""
    missing = {node for answer in answers for node in answer.always if not _has_test(root, node)}
    missing |= {command for answer in answers for command in answer.by_hand if not _has_command(root, command)}
    for answer in answers:
        if answer.documented and not (root / answer.documented).is_file():
            missing |= set(answer.by_hand)
    return missing


def run(answers: Sequence[Answer], root: Path = PROJECT) -> Card:
    """Runs every test the answers name, each once, by one pytest with two workers, and shows its progress.

    What a person runs by hand is not run: its result is on the page it names.
    """
    missing = unresolved(answers, root)
    nodes = [n for n in dict.fromkeys(n for a in answers for n in a.always) if n not in missing]
    report = root / ".pytest_cache" / "ml-test-score.xml"
    report.parent.mkdir(exist_ok=True)
    report.unlink(missing_ok=True)
    command = [sys.executable, "-m", "pytest", "-q", "--numprocesses", "2", "--dist", "loadfile"]
    subprocess.run([*command, f"--junit-xml={report}", *nodes], cwd=root, check=False)
    return judged(answers, report, root)


def judged(answers: Sequence[Answer], report: Path, root: Path = PROJECT) -> Card:
    """The card of a run of the tests, from its JUnit report (`pytest --junit-xml=FILE`).

    Raises:
        ParamsError: there is no such report.
    """
    if not report.is_file():
        raise ParamsError(f"{report} does not exist: run `pytest --junit-xml={report}` first; did it crash?")
    card, passed = Card(list(answers), unresolved(answers, root)), set(_passed(report))
    named = {node for answer in answers for node in answer.always} - card.failed
    card.failed |= {node for node in named if _key(node) not in passed}
    suites = ElementTree.parse(report).iter("testsuite")  # noqa: S314  # pytest wrote it
    card.seconds = sum(float(suite.get("time", 0)) for suite in suites)
    return card


def _passed(report: Path) -> Iterator[tuple[str, str]]:
    """Test functions all of whose cases ran and passed; one that was skipped shows nothing."""
    good: dict[tuple[str, str], bool] = {}
    for case in ElementTree.parse(report).iter("testcase"):  # noqa: S314  # pytest wrote it
        key = (str(case.get("classname")), str(case.get("name")).partition("[")[0])
        good[key] = good.get(key, True) and not len(case)
    yield from (key for key, fine in good.items() if fine)


def _key(node: str) -> tuple[str, str]:
    path, *names = node.split("::")
    return ".".join([*Path(path).with_suffix("").parts, *names[:-1]]), names[-1]


def _has_test(root: Path, node: str) -> bool:
    path, *names = node.split("::")
    if not (root / path).is_file() or not names:
        return False
    scope: Any = ast.parse((root / path).read_text(encoding="utf-8"))
    for name in names:
        scope = next((n for n in scope.body if getattr(n, "name", None) == name), None)
        if scope is None:
            return False
    return True


def _has_command(root: Path, command: str) -> bool:
    """Whether the module, file or make target a command starts with is there."""
    words = command.split()
    if words[:2] == ["python", "-m"]:
        return (root / Path(*words[2].split("."))).with_suffix(".py").is_file()
    if words[0] == "python":
        return (root / words[1]).is_file()
    if words[0] == "make":
        return f"\n{words[1]}:" in (root / "Makefile").read_text(encoding="utf-8")
    return words[0] == "avrec"


def lines(card: Card) -> Iterator[str]:
    """The card for a terminal."""
    for section in SECTIONS:
        yield f"{section}: {card.section(section):g} of {TESTS_A_SECTION}"
        for answer in (a for a in card.answers if a.section == section):
            yield f"  {card.points(answer):3.1f}  {answer.number}. {answer.title}"
            yield from (
                f"         not passed: {name}" for name in (*answer.always, *answer.by_hand) if name in card.failed
            )
            if answer.lacks:
                yield f"         lacks: {answer.lacks}"
    yield f"ML Test Score: {card.score:g}, the lowest section"
    if card.seconds is None:
        yield "Nothing was run: these are the points if everything passes. `avrec score --run` runs it."


def page(card: Card, commit: str) -> str:
    """The card as a page of the documentation."""
    when = datetime.now(UTC).date().isoformat()
    sections = "\n".join(f"| {name} | {card.section(name):g} of {TESTS_A_SECTION} |" for name in SECTIONS)
    out = [_HEAD.format(score=card.score, when=when, commit=commit, seconds=card.seconds or 0, sections=sections)]
    for section in SECTIONS:
        out += ["", f"## {section}", "", "| | test | points | what shows it |", "| --- | --- | ---: | --- |"]
        out += [_row(card, answer) for answer in card.answers if answer.section == section]
    return "\n".join(out) + "\n"


def _row(card: Card, answer: Answer) -> str:
    names = [
        f"`{name}`" + (" **did not pass**" if name in card.failed else "") for name in (*answer.always, *answer.by_hand)
    ]
    parts = [answer.shows, *names, *([f"result: [{answer.documented}]({Path(answer.documented).name})"]
                                     if answer.documented and answer.documented.startswith("docs/") else []),
             *([f"*Lacks:* {answer.lacks}"] if answer.lacks else [])]  # fmt: skip
    return f"| {answer.number} | {answer.title} | {card.points(answer):g} | {'<br>'.join(parts)} |"


def print_score(execute: bool, write: bool, report: Path | None = None, root: Path = PROJECT) -> int:
    """Prints the card; 1 where something that was named did not pass or is not there.

    Args:
        execute: Run the tests that are named.
        write: Also write the page.
        report: Instead of running them, the JUnit report of a run of the whole suite.
        root: The source checkout.
    """
    answers = read_answers(root)
    if report is not None:
        card = judged(answers, report, root)
    else:
        card = run(answers, root) if execute else Card(answers, unresolved(answers, root))
    for line in lines(card):
        print(line, flush=True)
    if write:
        _write_page(card, root)
    return 1 if card.failed else 0


def _write_page(card: Card, root: Path) -> None:
    if card.seconds is None:
        raise ParamsError("--write needs --run or --results FILE: the page says what was run.")
    show = ["git", "rev-parse", "--short", "HEAD"]
    done = subprocess.run(show, cwd=root, capture_output=True, text=True, check=False)
    (root / PAGE).write_text(page(card, done.stdout.strip() or "unknown"), encoding="utf-8")
    print(f"written to {root / PAGE}", flush=True)
