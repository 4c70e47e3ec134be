"""Asking a part whether it answers."""

from __future__ import annotations

from typing import Any

import requests

from avrec.platform.parts import Probe

TIMEOUT_S = 3.0


class Prober:
    """Asks every address at most once a round: four parts of Airflow share one health page."""

    def __init__(self, timeout: float = TIMEOUT_S) -> None:
        self._timeout = timeout
        self._session = requests.Session()
        self._session.trust_env = False  # a proxy has no business with 127.0.0.1
        self._answers: dict[str, Any] = {}

    def new_round(self) -> None:
        self._answers.clear()

    def answers(self, probe: Probe) -> bool:
        if probe.url not in self._answers:
            self._answers[probe.url] = self._get(probe.url)
        value = self._answers[probe.url]
        for key in probe.path:
            value = value.get(key) if isinstance(value, dict) else None
        return bool(value == probe.expects if probe.path else value is not None)

    def _get(self, url: str) -> Any:
        try:
            response = self._session.get(url, timeout=self._timeout)
            if response.status_code != 200:
                return None
            return response.json() if "json" in response.headers.get("content-type", "") else {}
        except (requests.RequestException, ValueError):
            return None
