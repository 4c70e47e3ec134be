"""What a person does in Airflow's own page, in a real Chromium."""

from __future__ import annotations

import os
import shutil

from playwright.sync_api import Browser, Page

PATIENCE_MS = 60_000
QUIET = ("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update",
         "--disable-sync", "--no-first-run")  # fmt: skip
"""Arguments of a Chromium that keeps to itself and runs for root too."""


def chromium_path() -> str | None:
    """An installed Chromium: `AVREC_CHROMIUM`, or one of the usual names."""
    return os.environ.get("AVREC_CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")


def signed_in(browser: Browser, airflow: str, user: str, password: str) -> Page:
    """A page of Airflow after signing in."""
    page = browser.new_page(viewport={"width": 1400, "height": 1000})
    page.set_default_timeout(PATIENCE_MS)
    page.goto(airflow)
    page.locator("input[name=username]").fill(user)
    page.locator("input[name=password]").fill(password)
    page.get_by_role("button", name="Sign in").click()
    page.get_by_role("link", name="Dags").wait_for()
    return page


def answer(page: Page, airflow: str, subject: str, option: str, reason: str) -> str:
    """Opens the question under Required Actions, writes a reason and presses the button; the text that was shown.

    Args:
        page: As `signed_in` gives it.
        airflow: Address of Airflow.
        subject: How the question begins.
        option: Approve or Reject.
        reason: What to write.
    """
    page.goto(f"{airflow}/required_actions")
    page.get_by_role("link", name=subject).first.click()
    button = page.get_by_role("button", name=option, exact=True)
    button.wait_for()
    assert button.is_disabled()  # without a reason there is no answer
    shown = page.locator("body").inner_text()
    page.locator("#element_reason").fill(reason)
    with page.expect_response(lambda response: response.request.method == "PATCH") as sent:
        button.click()
    assert sent.value.ok, sent.value.text()
    return shown
