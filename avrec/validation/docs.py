"""Data docs that open anywhere: Great Expectations' own pages, without what they would load from the network."""

from __future__ import annotations

import html
import json
import re
from pathlib import Path
from typing import Any

_ASSETS = (
    re.compile(r"<script\b[^>]*\bsrc=[^>]*>\s*</script>", re.IGNORECASE),
    re.compile(r"<link\b[^>]*\bhref=[\"']https?:[^>]*>", re.IGNORECASE),
    re.compile(r"<img\b[^>]*\bsrc=[\"']https?:[^>]*>", re.IGNORECASE),
    re.compile(r"<script\b(?![^>]*\bsrc=)[^>]*>.*?</script>", re.IGNORECASE | re.DOTALL),
    re.compile(r"<!--\[if.*?endif\]-->", re.DOTALL),
    re.compile(r"<nav\b.*?</nav>", re.IGNORECASE | re.DOTALL),
    re.compile(r"<footer\b.*?</footer>", re.IGNORECASE | re.DOTALL),
)

STYLE = (Path(__file__).parent / "docs.css").read_text(encoding="utf-8")


def render(results: Path, out: Path) -> Path:
    """Renders `results.json` of the validate stage into a folder of pages.

    Args:
        results: `artifacts/validation/results.json`.
        out: Folder to write; pages are self-contained.

    Returns:
        The index page.
    """
    document = json.loads(results.read_text(encoding="utf-8"))
    out.mkdir(parents=True, exist_ok=True)
    pages = {f"{_slug(suite['suite_name'])}.html": suite for suite in document["suites"]}
    for name, suite in pages.items():
        (out / name).write_text(_page(suite), encoding="utf-8")
    index = out / "index.html"
    index.write_text(_index(document, pages), encoding="utf-8")
    return index


def _page(suite: dict[str, Any]) -> str:
    from great_expectations.core import ExpectationSuiteValidationResult
    from great_expectations.core.expectation_validation_result import ExpectationValidationResult
    from great_expectations.expectations.expectation_configuration import ExpectationConfiguration
    from great_expectations.render.renderer import ValidationResultsPageRenderer
    from great_expectations.render.view import DefaultJinjaPageView

    results = [
        ExpectationValidationResult(
            success=one["success"],
            expectation_config=ExpectationConfiguration(**one["expectation_config"]),
            result=one["result"],
            exception_info=one["exception_info"],
        )
        for one in suite["results"]
    ]
    whole = ExpectationSuiteValidationResult(
        success=suite["success"], results=results, suite_name=suite["suite_name"],
        statistics=suite["statistics"], meta={"run_id": {"run_name": suite["suite_name"], "run_time": None}},
    )  # fmt: skip
    return self_contained(DefaultJinjaPageView().render(ValidationResultsPageRenderer().render(whole)))


def self_contained(page: str) -> str:
    """The page in our style, without scripts, tracking images and outside style sheets: it needs no network."""
    for pattern in _ASSETS:
        page = pattern.sub("", page)
    back = '<p class="avrec-back"><a href="index.html">All suites</a></p>'
    page = re.sub(r"(<body[^>]*>)", lambda m: m.group(1) + back, page, count=1)
    page = re.sub(r'<a href="\.\./[^"]*"[^>]*>(.*?)</a>', r"\1", page, flags=re.DOTALL)
    return page.replace("</head>", f"<style>{STYLE}</style></head>", 1)


def _index(document: dict[str, Any], pages: dict[str, dict[str, Any]]) -> str:
    rows = "".join(_index_row(name, suite) for name, suite in pages.items())
    tables = "".join(
        f"<tr><td>{html.escape(name)}</td><td>{counts['rows']:,}</td><td>{counts['quarantined']:,}</td></tr>"
        for name, counts in document["tables"].items()
    )
    reasons = "".join(
        f"<tr><td>{html.escape(name)}</td><td>{html.escape(reason)}</td><td>{count:,}</td></tr>"
        for name, counts in document["tables"].items()
        for reason, count in counts["reasons"].items()
    )
    mark = " (synthetic)" if document["dataset"]["synthetic"] else ""
    failed = "".join(f"<li>{html.escape(f)}</li>" for f in (*document["critical"], *document["warnings"]))
    findings = f"<h2>What failed</h2><ul>{failed}</ul>" if failed else "<p>Every check holds.</p>"
    return f"""<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Data docs</title>
<meta name="viewport" content="width=device-width, initial-scale=1"><style>{STYLE}</style></head>
<body class="avrec-index"><h1>Data docs: {html.escape(document["dataset"]["source"])}{mark}</h1>{findings}
<h2>Suites</h2><table><tr><th>Suite</th><th>Result</th><th>Checks</th><th>Failed</th></tr>{rows}</table>
<h2>Rows</h2><table><tr><th>Table</th><th>Rows</th><th>Quarantined</th></tr>{tables}</table>
<h2>Why rows were quarantined</h2>
<table><tr><th>Table</th><th>Reason</th><th>Rows</th></tr>{reasons}</table></body></html>
"""


def _index_row(name: str, suite: dict[str, Any]) -> str:
    statistics, verdict = suite["statistics"], "holds" if suite["success"] else "fails"
    return (
        f'<tr><td><a href="{name}">{html.escape(suite["suite_name"])}</a></td><td class="{verdict}">{verdict}</td>'
        f"<td>{statistics['evaluated_expectations']}</td><td>{statistics['unsuccessful_expectations']}</td></tr>"
    )


def _slug(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
