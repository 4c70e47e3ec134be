"""Telling people: a line in a log always, a post and a mail where the environment names an address.

`AVREC_NOTIFY_URL` is a webhook (Slack, Teams, Mattermost and the like read `text`). `AVREC_NOTIFY_MAIL` holds addresses
with commas between; `AVREC_SMTP` is the server, `smtp://USER@HOST:PORT` (`smtps://` for TLS from the start), its
password lies in the file `AVREC_SMTP_PASSWORD_FILE`.
"""

from __future__ import annotations

import json
import os
import smtplib
import urllib.request
from collections.abc import Callable, Mapping
from email.message import EmailMessage
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from avrec.settings import settings

SECONDS = 10
Note = Mapping[str, Any]


def tell(note: Note, log: str = "alerts.jsonl") -> dict[str, str]:
    """Tells a note on every channel that is set up; one that fails does not keep the others from it.

    Args:
        note: `text` is what a person reads; the rest is for programs.
        log: File in the home's logs.

    Returns:
        Reasons by channel, of those that failed.
    """
    failed = {}
    for channel in channels(log):
        try:
            channel(note)
        except (OSError, smtplib.SMTPException) as error:  # a chat that does not answer must not fail a pipeline
            failed[getattr(channel, "__name__", "channel")] = str(error)
    return failed


def channels(log: str = "alerts.jsonl") -> list[Callable[[Note], None]]:
    """The channels of this environment."""
    found: list[Callable[[Note], None]] = [lambda note: to_log(note, log)]
    if os.environ.get("AVREC_NOTIFY_URL", "").startswith(("http://", "https://")):
        found.append(to_webhook)
    if os.environ.get("AVREC_NOTIFY_MAIL"):
        found.append(to_mail)
    return found


def to_log(note: Note, log: str = "alerts.jsonl") -> None:
    """A line of JSON in the home's logs."""
    path = settings().logs / log
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(note, default=str) + "\n")


def to_webhook(note: Note) -> None:
    """A post to `AVREC_NOTIFY_URL`.

    Raises:
        OSError: nobody answers, or with an error.
    """
    body = json.dumps(note, default=str).encode()
    post = urllib.request.Request(os.environ["AVREC_NOTIFY_URL"], body, {"Content-Type": "application/json"})  # noqa: S310
    with urllib.request.urlopen(post, timeout=SECONDS):  # noqa: S310
        pass


def to_mail(note: Note) -> None:
    """A mail to `AVREC_NOTIFY_MAIL` through `AVREC_SMTP`.

    Raises:
        OSError: the server does not answer.
        smtplib.SMTPException: it refuses.
    """
    server = urlsplit(os.environ.get("AVREC_SMTP") or "smtp://127.0.0.1:25")
    mail = EmailMessage()
    text = str(note.get("text", ""))
    mail["Subject"] = "avrec: " + (text.splitlines() or ["a notice"])[0][:150]
    mail["From"] = os.environ.get("AVREC_NOTIFY_FROM") or f"avrec@{server.hostname}"
    mail["To"] = os.environ["AVREC_NOTIFY_MAIL"]
    mail.set_content(text + "\n\n" + json.dumps(note, indent=2, default=str))
    kind = smtplib.SMTP_SSL if server.scheme == "smtps" else smtplib.SMTP
    with kind(server.hostname or "127.0.0.1", server.port or 0, timeout=SECONDS) as smtp:
        if server.username:
            if server.scheme != "smtps":
                smtp.starttls()
            smtp.login(server.username, _password())
        smtp.send_message(mail)


def _password() -> str:
    path = os.environ.get("AVREC_SMTP_PASSWORD_FILE")
    return Path(path).read_text(encoding="utf-8").strip() if path else ""
