"""The pages of docs/ build into a site without a dead link, and the site loads nothing from elsewhere."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path


def test_docs_build_without_warnings_and_open_offline(root: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mkdocs", "build", "--quiet", "--site-dir", str(tmp_path / "site")]
    built = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
    assert not built.stderr
    pages = sorted((tmp_path / "site").glob("*.html"))
    assert {"start.html", "approve.html", "operate.html"} <= {page.name for page in pages}
    loaded = re.compile(r"<(?:script|link|img)[^>]*(?:src|href)=[\"']?(https?:)?//", re.IGNORECASE)
    assert [page.name for page in pages if loaded.search(page.read_text(encoding="utf-8"))] == []
