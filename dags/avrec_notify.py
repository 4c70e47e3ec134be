"""Airflow notifiers for the channels of `avrec.monitoring.notify`; configuration says which are used."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from airflow.sdk import BaseNotifier

from avrec.monitoring.notify import to_log, to_mail, to_webhook


class Notice(BaseNotifier):
    """Tells `text` and what belongs to it.

    Args:
        note: `text` is what a person reads; the rest is for programs.
    """

    send: ClassVar[Callable[[Mapping[str, Any]], None]]

    def __init__(self, note: Mapping[str, Any]) -> None:
        super().__init__()
        self.note = note

    def notify(self, context: Any) -> None:
        type(self).send({**self.note, "run": str(context.get("run_id", ""))})


class LogNotifier(Notice):
    """A line in `var/logs/alerts.jsonl`."""

    send = staticmethod(to_log)


class WebhookNotifier(Notice):
    """A post to `AVREC_NOTIFY_URL`."""

    send = staticmethod(to_webhook)


class MailNotifier(Notice):
    """A mail to `AVREC_NOTIFY_MAIL` through `AVREC_SMTP`."""

    send = staticmethod(to_mail)


def notifiers(note: Mapping[str, Any]) -> list[Notice]:
    """The ones this environment sets up; the log always."""
    found: list[Notice] = [LogNotifier(note)]
    if os.environ.get("AVREC_NOTIFY_URL"):
        found.append(WebhookNotifier(note))
    if os.environ.get("AVREC_NOTIFY_MAIL"):
        found.append(MailNotifier(note))
    return found
