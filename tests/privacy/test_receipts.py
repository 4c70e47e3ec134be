"""Receipts recognise without telling, and requests become due."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from avrec.errors import DataError, ParamsError
from avrec.params import PrivacyParams, parse_params
from avrec.privacy.pseudonyms import Pseudonyms
from avrec.privacy.receipts import Receipts
from avrec.privacy.requests import Request, Requests, due, late
from avrec.privacy.scan import Scanner

NAMES = Pseudonyms(b"k" * 32)
ANNA, BEN = NAMES.of("anna@example.org"), NAMES.of("ben@example.org")


def test_a_receipt_recognises_and_holds_no_personal_data(tmp_path: Path) -> None:
    receipts = Receipts(str(tmp_path), NAMES)
    batch = receipts.add([ANNA], ["clip-9"], "2026-03-01")
    assert receipts.unfinished() == [batch]
    receipts.done(batch, {"runs": 2})
    subjects = receipts.subjects()
    assert subjects.people_in([BEN, ANNA, None]) == [ANNA]
    assert subjects.items_in(["clip-8", "clip-9"]) == ["clip-9"]
    assert receipts.unfinished() == []
    assert Scanner([ANNA, "anna@example.org", "clip-9"]).folders([tmp_path]) == []


def test_what_an_erased_person_made_is_erased(tmp_path: Path) -> None:
    receipts = Receipts(str(tmp_path), NAMES)
    receipts.add([ANNA], [], "2026-03-01")
    assert receipts.subjects().items_in(["a", "b"], ["ben@example.org", "anna@example.org"]) == ["b"]


def test_a_fingerprint_names_what_was_erased_until_then(tmp_path: Path) -> None:
    receipts = Receipts(str(tmp_path), NAMES)
    receipts.add([ANNA], [], "2026-03-01")
    first = receipts.subjects().fingerprint
    assert receipts.add([ANNA], [], "2026-03-02") == ""
    receipts.add([BEN], [], "2026-03-02")
    assert receipts.subjects(first).people_in([ANNA, BEN]) == [ANNA]
    assert receipts.subjects().people_in([ANNA, BEN]) == [ANNA, BEN]
    with pytest.raises(DataError, match="AVREC_RECEIPTS"):
        receipts.subjects("0" * 16)


def test_another_key_is_an_error_and_not_a_person_overlooked(tmp_path: Path) -> None:
    Receipts(str(tmp_path), NAMES).add([ANNA], [], "2026-03-01")
    with pytest.raises(DataError, match=r"pseudonym\.key"):
        Receipts(str(tmp_path), Pseudonyms(b"o" * 32)).subjects()


def test_requests_wait_and_become_due() -> None:
    params = PrivacyParams(batch=3, wait_days=7, deadline_days=30)
    waiting = Requests()
    waiting.add(Request((ANNA,), (), ("anna@example.org",), "2026-03-01"))
    waiting.add(Request((), ("clip-9",), (), "2026-03-05", media=True))
    found = list(waiting.waiting().values())
    assert [r.asked for r in found] == ["2026-03-01", "2026-03-05"]
    assert not due(found, params, date(2026, 3, 7))
    assert due(found, params, date(2026, 3, 8))
    assert due([*found, found[0]], params, date(2026, 3, 5))
    assert late(found, params, date(2026, 4, 1)) == found[:1]
    waiting.remove(list(waiting.waiting()))
    assert waiting.waiting() == {}


def test_waiting_longer_than_the_deadline_is_no_setting() -> None:
    with pytest.raises(ParamsError, match="wait_days"):
        parse_params({"privacy": {"wait_days": 40}})
