"""`make screenshots`: takes pictures of what people look at, from a platform that runs, in Chromium.

    make demo            # in one terminal, until it asks for the approval, or later
    make screenshots     # in another

Pages are taken as a person sees them after signing in; what the platform does not have yet (a question that waits, a
page that no DAG wrote) is left out and said. They go to var/screenshots.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from playwright.sync_api import Browser, Page, sync_playwright
from playwright.sync_api import Error as BrowserError

from avrec.platform.identity import User, read_users
from avrec.platform.state import running_address
from avrec.settings import PROJECT, settings
from tests.end_to_end.clicking import QUIET, chromium_path, signed_in

FOLDER = PROJECT / "var" / "screenshots"
SIZE = {"width": 1280, "height": 800}
SETTLED_MS = 2500
"""What a page of Airflow or MLflow goes on drawing after it has loaded."""


def main() -> int:
    home = settings().home
    airflow, mlflow = running_address(home, "api-server"), running_address(home, "mlflow")
    if airflow is None or mlflow is None:
        print(f"no platform runs in {home}: `make demo` in another terminal, then this again.", file=sys.stderr)
        return 2
    FOLDER.mkdir(parents=True, exist_ok=True)
    missed = 0
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium_path(), args=[*QUIET])
        for name, take in [*airflow_pages(browser, airflow), *mlflow_pages(browser, mlflow), *files(browser)]:
            try:
                take().screenshot(path=FOLDER / f"{name}.png")
                print(FOLDER / f"{name}.png", flush=True)
            except BrowserError as error:
                missed += 1
                print(f"{name}: not to be had now: {error.message.splitlines()[0]}", file=sys.stderr, flush=True)
        browser.close()
    return 1 if missed else 0


Shot = tuple[str, Callable[[], Page]]


def airflow_pages(browser: Browser, airflow: str) -> Iterator[Shot]:
    """Form, graph and question, seen by the one who approves."""
    user = _user("approver")
    page = signed_in(browser, airflow, user.name, user.password)
    page.set_viewport_size(SIZE)  # type: ignore[arg-type]
    page.set_default_timeout(10_000)

    def question() -> Page:
        page.goto(f"{airflow}/required_actions")
        page.get_by_role("link", name="Promote").first.click()
        return _settled(page)

    def graph() -> Page:
        page.goto(f"{airflow}/dags/avrec_train")
        page.get_by_role("button", name="Show Graph").or_(page.get_by_label("Show Graph")).first.click()
        return _settled(page)

    def form() -> Page:
        page.goto(f"{airflow}/dags/avrec_train")
        page.get_by_role("button", name="Trigger").first.click()
        return _settled(page)

    yield from (("approval", question), ("graph", graph), ("form", form))


def mlflow_pages(browser: Browser, mlflow: str) -> Iterator[Shot]:
    """The runs."""
    user = _user("viewer")
    context = browser.new_context(viewport=SIZE, http_credentials={"username": user.name, "password": user.password})  # type: ignore[arg-type]
    page = context.new_page()
    page.set_default_timeout(10_000)

    def runs() -> Page:
        page.goto(mlflow)
        page.get_by_role("link", name="avrec").first.click()
        page.get_by_role("button", name="Got it").click()  # greets whoever comes for the first time
        page.get_by_role("link", name="Training runs").click()
        return _settled(page)

    yield "runs", runs


def files(browser: Browser) -> Iterator[Shot]:
    """Pages that the platform writes as files, opened offline."""
    reports = settings().reports
    wanted = {
        "overview": reports / "overview.html",
        "recommendations": _newest(reports, "recommendations/*/index.html"),
        "data-docs": _newest(reports, "data_docs/*/index.html"),
    }
    context = browser.new_context(viewport=SIZE, offline=True)  # type: ignore[arg-type]
    page = context.new_page()

    def opened(path: Path) -> Page:
        page.goto(path.as_uri())
        return _settled(page)

    for name, path in wanted.items():
        if path is not None and path.is_file():
            yield name, lambda path=path: opened(path)
        else:
            print(f"{name}: the platform has not written it yet", file=sys.stderr)


def _newest(folder: Path, pattern: str) -> Path | None:
    return max(folder.glob(pattern), key=lambda path: path.stat().st_mtime, default=None)


def _user(role: str) -> User:
    return next(user for user in read_users().values() if role in user.roles and not user.automated)


def _settled(page: Page) -> Page:
    page.wait_for_load_state()
    page.wait_for_timeout(SETTLED_MS)
    return page


if __name__ == "__main__":
    raise SystemExit(main())
