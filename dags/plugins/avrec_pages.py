"""The pages of the home's reports inside Airflow: a link in its navigation, and the files behind Airflow's own login.

Plugins are read by every process of Airflow, and only the API server answers requests: what serves the files is made at
the first one.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from airflow.plugins_manager import AirflowPlugin

PREFIX = "/avrec"
FIRST = "overview.html"


def page_file(reports: Path, name: str) -> Path | None:
    """The file of a page below the reports, links followed; None where there is none, or it lies elsewhere."""
    root = reports.resolve()
    try:
        path = (root / name).resolve()
        inside = path.is_relative_to(root)
    except (OSError, ValueError):  # a name that is no path
        return None
    return path if inside and path.is_file() and path.suffix in (".html", ".css", ".png", ".svg") else None


class Pages:
    """An ASGI application that is made when it is first asked."""

    def __init__(self) -> None:
        self._app: Any = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if self._app is None:
            self._app = _application()
        await self._app(scope, receive, send)


def _application() -> Any:
    from airflow.api_fastapi.core_api.security import get_user
    from fastapi import Depends, FastAPI, HTTPException
    from fastapi.responses import FileResponse

    from avrec.settings import settings

    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None, dependencies=[Depends(get_user)])

    @app.get("/{name:path}", response_model=None)
    def page(name: str) -> Any:
        found = page_file(settings().reports, name or FIRST)
        if found is None:
            raise HTTPException(404, "There is no such page. `avrec overview` and the DAG avrec_monitor write them.")
        return FileResponse(found, headers={"Content-Security-Policy": "script-src 'none'"})

    return app


class AvrecPages(AirflowPlugin):
    """Registers the link and what is behind it."""

    name = "avrec_pages"
    fastapi_apps = [{"app": Pages(), "url_prefix": PREFIX, "name": "avrec pages"}]  # noqa: RUF012
    external_views = [{"name": "Overview", "href": f"{PREFIX}/{FIRST}", "destination": "nav"}]  # noqa: RUF012
