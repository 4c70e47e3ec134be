"""A bad model is live: taken back by the DAG, started through REST, and by the command."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from tests.drills.common import environment
from tests.drills.fault_base import LONGEST_S, SET, Drill, Place, inhabited
from tests.drills.fault_platform import started

if TYPE_CHECKING:
    from avrec.recommend.sql import Publication

ROLLBACK, RECOMMEND, SECOND = "avrec_rollback", "avrec_recommend", "second"
WHY = "Complaints about the new lists"


def taken_back(drill: Drill) -> None:
    """Two versions were promoted and the second is bad: back by the DAG through REST, then by the command."""
    first, here = drill.champion(), drill.quiet()
    day = ["pipelines.publish", "all", "--date", f"{datetime.now(UTC).date()}"]
    here.again(*day)
    before = in_force(here)
    here.again("pipelines.start", SECOND, json.dumps(SET | {"matching.ease.l2": 35.0}))
    here.work(SECOND)
    second = drill.promoted(SECOND)
    here.again(*day)
    drill.say(f"version {first}, then version {second} are promoted, each with a table")
    assert in_force(here).model_version == second
    with started(drill, here, [ROLLBACK, RECOMMEND]):
        by_the_dag(drill, here, second, before)
        by_the_command(drill, here, second, before, day)


def by_the_dag(drill: Drill, here: Place, leaving: str, before: Publication) -> None:
    from avrec.errors import PlatformError
    from avrec.platform.airflow import Airflow
    from avrec.registry import promotion

    form, operator = {"leaving": leaving, "reason": WHY}, Airflow("operator")
    try:
        Airflow("viewer").trigger(ROLLBACK, form)
        viewer = "a viewer MAY start it"
    except PlatformError as error:
        viewer = "a viewer is refused (403)" if " 403 " in str(error) else str(error)
    run = operator.trigger(ROLLBACK, form)
    state = operator.wait(ROLLBACK, run, timeout=LONGEST_S)
    started_by_it = operator.xcom(ROLLBACK, run, "publish", "trigger_run_id")
    published = operator.wait(RECOMMEND, started_by_it, timeout=LONGEST_S, progress=drill.say)
    moves, now = promotion.history(), in_force(here)
    last = moves[0]
    recorded = (last.kind, last.version, last.before, last.who, last.why)
    again = operator.wait(ROLLBACK, operator.trigger(ROLLBACK, form), timeout=LONGEST_S)
    unmoved = promotion.history() == moves and in_force(here) == now
    right = recorded == ("rollback", before.model_version, leaving, "operator", WHY)
    seen = f"{viewer}; the operator's run: {state}, the publishing run it started: {published}; recorded: {last.kind} "
    seen += (
        f"from {last.before} to {last.version} by {last.who}, with the reason; {what(here, before)}; the same again: "
    )
    seen += f"{again}, {'nothing moved' if unmoved else 'SOMETHING MOVED'}"
    good = right and unmoved and "403" in viewer and (state, published, again) == ("success",) * 3
    drill.note("a bad model is live, the rollback DAG", seen, good and restored(here, before))


def by_the_command(drill: Drill, here: Place, leaving: str, before: Publication, day: list[str]) -> None:
    """The second version is promoted once more, which its approval allows to who says `again`."""
    from avrec.platform.identity import password_of
    from avrec.registry import promotion

    promotion.promote(leaving, who="approver", again=True)
    here.again(*day)
    between = in_force(here).model_version
    words = [sys.executable, "-m", "avrec.cli", "models", "rollback", "--reason", WHY]
    told = environment(here.base, here.home.name, here.repository.name)
    answers = {user: f"{user}\n{password_of(user)}\n" for user in ("viewer", "operator")}
    codes = {user: subprocess.run(words, input=answer, cwd=here.repository, env=told, text=True, check=False,
                                  capture_output=True).returncode for user, answer in answers.items()}  # fmt: skip
    last, kept = promotion.history()[0], [p.status for p in tables(here) if p.model_version == leaving]
    seen = (
        f"`avrec models rollback` ends with {codes['viewer']} for a viewer and {codes['operator']} for the operator; "
    )
    seen += (
        f"recorded: {last.kind} from {last.before} to {last.version} by {last.who}; {what(here, before)}; the table "
    )
    seen += f"of version {leaving} is kept as {', '.join(sorted(set(kept)))}"
    right = (last.kind, last.before, last.who, between) == ("rollback", leaving, "operator", leaving)
    good = right and codes["viewer"] != 0 and codes["operator"] == 0 and set(kept) == {"superseded"}
    drill.note("a bad model is live, the rollback command", seen, good and restored(here, before))


def tables(here: Place) -> list[Publication]:
    from avrec.recommend.publication import Publisher

    with inhabited(here):
        return Publisher.of_settings().tables.all()


def in_force(here: Place) -> Publication:
    """The table of the newest day."""
    return [p for p in tables(here) if p.status == "current"][-1]


def restored(here: Place, before: Publication) -> bool:
    """Whether the alias and the newest table are those of the earlier version."""
    from avrec.registry import promotion

    champion = promotion.champion()
    return champion is not None and champion.version == before.model_version and in_force(here).id == before.id


def what(here: Place, before: Publication) -> str:
    from avrec.registry import promotion

    champion, now = promotion.champion(), in_force(here)
    rows = "the very one that was in force before" if now.id == before.id else "another one than before"
    return f"the alias is at version {champion.version if champion else 'none'}, the newest table is {now.id}, {rows}"
