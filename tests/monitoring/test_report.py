"""What is told, what is drawn, and that a page needs nothing but itself."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from avrec.monitoring import history, notify
from avrec.monitoring.drift import Drift
from avrec.monitoring.page import render
from avrec.monitoring.report import Champion, Report
from avrec.monitoring.skew import Skew
from avrec.monitoring.tables import TableHealth
from avrec.params import MonitorParams

AT = datetime(2026, 3, 2, 6, tzinfo=UTC)
BOUNDS = MonitorParams()
TABLE = TableHealth("p<1>", date(2026, 3, 1), "3", 100, 0.5, 0.4, 0.2, 80, 0.3, 0.2, 10, 0.1)
GOOD = Report(
    at=AT.isoformat(), data_run="data-1", dataset_version="d", source="folder", synthetic=False, as_of=AT.isoformat(),
    data_age_days=0.5, champion=Champion("3", "", None, 2.0), skew=Skew({"visual": 0.0}, 0.1, 0.2),
    drift=(Drift("items.category", "categorical", 0.1, None, 0.25, 500, 100),), tables=(TABLE,),
    quarantined={"items": 3},
)  # fmt: skip
CASES = {
    "freshness": ({"data_age_days": 9.0}, False),
    "drift/items.category": ({"drift": (replace(GOOD.drift[0], distance=0.5),)}, True),
    "staleness": ({"champion": Champion("3", "", None, 99.0)}, True),
    "skew/visual": ({"skew": Skew({"visual": 0.5}, 0.1, 0.2)}, True),
    "coverage": ({"tables": (replace(TABLE, coverage=0.01),)}, False),
    "concentration": ({"tables": (replace(TABLE, gini=0.99),)}, False),
    "live quality": ({"tables": (replace(TABLE, hit_rate=0.1),)}, True),
    "inbox": ({"refused_batches": 2}, False),
}


def test_all_within_bounds() -> None:
    assert GOOD.alerts(BOUNDS) == []


@pytest.mark.parametrize("name", CASES)
def test_each_bound_has_its_alert(name: str) -> None:
    changes, retrain = CASES[name]
    (alert,) = replace(GOOD, **changes).alerts(BOUNDS)
    assert (alert.name, alert.retrain) == (name, retrain)


def test_what_a_program_made_is_never_too_old() -> None:
    assert replace(GOOD, data_age_days=99.0, synthetic=True).alerts(BOUNDS) == []


def test_every_figure_has_a_name() -> None:
    numbers = GOOD.numbers()
    assert numbers["drift/items.category"] == 0.1
    assert numbers["live/lift"] == pytest.approx(1.5)
    assert (numbers["table/coverage"], numbers["champion/version"]) == (0.5, 3.0)
    assert (numbers["live/shown"], numbers["live/answered"]) == (10.0, 0.1)
    fresh = replace(TABLE, shown=0, answered=None)  # published this morning: nobody was shown it yet
    later = replace(GOOD, tables=(TABLE, fresh)).numbers()
    assert (later["live/shown"], later["live/answered"]) == (10.0, 0.1)
    assert "drift/x" not in replace(GOOD, drift=(replace(GOOD.drift[0], name="x", distance=None),)).numbers()


def test_the_largest_drift_of_columns_and_of_vectors_has_a_curve() -> None:
    kinds = [("a", "numeric", 0.1), ("b", "categorical", 0.4), ("c", "numeric", None), ("visual", "vectors", 0.6)]
    drift = [replace(GOOD.drift[0], name=name, kind=kind, distance=far) for name, kind, far in kinds]
    numbers = replace(GOOD, drift=drift).numbers()
    assert (numbers["drift/most_of_columns"], numbers["drift/most_of_vectors"]) == (0.4, 0.6)
    assert "drift/most_of_vectors" not in GOOD.numbers()


def test_curves_grow_by_a_point_a_look() -> None:
    for day in range(3):
        history.write({"table/coverage": 0.1 * day}, AT + timedelta(days=day))
    history.write({"table/coverage": 9.0}, AT + timedelta(days=2))  # the same look again
    found = history.curves(["table/coverage", "never/seen"])
    assert list(found) == ["table/coverage"]
    assert [value for _, value in found["table/coverage"]] == pytest.approx([0.0, 0.1, 0.2])


def test_the_page_needs_nothing_but_itself() -> None:
    curves = {"table/coverage": [(AT, 0.1), (AT + timedelta(days=1), 0.2)], "live/lift": [(AT, 1.0)]}
    text = render(replace(GOOD, data_age_days=9.0), GOOD.alerts(BOUNDS), BOUNDS, curves)
    assert not re.search(r"<script|src=|https?://", text)
    assert text.count("<polyline") == 2
    assert "p<1>" not in text


class Hook(BaseHTTPRequestHandler):
    got: list[dict[str, object]] = []  # noqa: RUF012

    def do_POST(self) -> None:
        self.got.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def hook() -> Iterator[str]:
    server = HTTPServer(("127.0.0.1", 0), Hook)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    thread.join()
    server.server_close()


def test_people_are_told_on_every_channel(hook: str, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AVREC_NOTIFY_URL", hook)
    monkeypatch.setenv("AVREC_NOTIFY_MAIL", "ops@example.org")
    monkeypatch.setenv("AVREC_SMTP", "smtp://127.0.0.1:1")  # nobody listens there
    failed = notify.tell({"text": "drift"})
    assert list(failed) == ["to_mail"]
    assert Hook.got[-1]["text"] == "drift"
    assert json.loads((home / "logs" / "alerts.jsonl").read_text(encoding="utf-8"))["text"] == "drift"


def test_without_configuration_there_is_the_log(home: Path) -> None:
    assert notify.tell({"text": "quiet"}) == {}
    assert len(notify.channels()) == 1
