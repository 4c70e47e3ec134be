"""The few pieces the pages are made of: no scripts, nothing from the network, light and dark."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from avrec.recommend.page import STYLE as BASE

STYLE = BASE + (Path(__file__).parent / "pages.css").read_text(encoding="utf-8")
WIDTH, HEIGHT = 220, 48


@dataclass(frozen=True)
class Cell:
    """A cell of a table: text, and whether it is good, bad or neither; a link where it has an address."""

    text: str
    kind: str = ""
    link: str = ""


def page(title: str, mark: str, facts: Sequence[tuple[str, str]], sections: Iterable[str], footer: str) -> str:
    """A whole page.

    Args:
        title: Heading.
        mark: A word beside it, such as that the data are synthetic; may be empty.
        facts: What is told first, by name.
        sections: Made by `section`.
        footer: Text.
    """
    badge = f' <span class="mark">{html.escape(mark)}</span>' if mark else ""
    told = "".join(f"<div><dt>{html.escape(n)}</dt><dd>{html.escape(v)}</dd></div>" for n, v in facts)
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{html.escape(title)}</title>
<style>
{STYLE}
</style>
</head>
<body>
<header>
<p class="brand">avrec</p>
<h1>{html.escape(title)}{badge}</h1>
<dl>{told}</dl>
</header>
<main>
{"".join(sections)}
</main>
<footer>{html.escape(footer)}</footer>
</body>
</html>
"""


def section(title: str, *parts: str) -> str:
    return f"<section><h2>{html.escape(title)}</h2>{''.join(parts)}</section>\n"


def note(text: str, kind: str = "") -> str:
    return f'<p class="said {kind}">{html.escape(text)}</p>'


def points(texts: Iterable[str], kind: str = "") -> str:
    return f'<ul class="points {kind}">' + "".join(f"<li>{html.escape(text)}</li>" for text in texts) + "</ul>"


def table(heads: Sequence[str], rows: Iterable[Sequence[Cell | str]]) -> str:
    """A table that scrolls by itself where the page is too narrow."""
    top = "".join(f'<th scope="col">{html.escape(head)}</th>' for head in heads)
    body = "".join(f"<tr>{''.join(_cell(cell) for cell in row)}</tr>" for row in rows)
    return f'<div class="scroll"><table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div>'


def _cell(cell: Cell | str) -> str:
    found = cell if isinstance(cell, Cell) else Cell(cell)
    text = html.escape(found.text)
    if found.link:
        text = f'<a href="{html.escape(found.link, quote=True)}">{text}</a>'
    return f'<td class="{found.kind}">{text}</td>' if found.kind else f"<td>{text}</td>"


def curve(title: str, values: Sequence[tuple[datetime, float]], bound: float | None = None) -> str:
    """A curve over time with its last value; a dashed line where the bound is."""
    heights = [value for _, value in values] + ([bound] if bound is not None else [])
    low, high = min(heights), max(heights)
    span = (high - low) or 1.0
    first = values[0][0]
    length = (values[-1][0] - first).total_seconds() or 1.0

    def y(value: float) -> float:
        return HEIGHT - 4 - (HEIGHT - 8) * (value - low) / span

    spots = [(4 + (WIDTH - 8) * (at - first).total_seconds() / length, y(value)) for at, value in values]
    if len(spots) == 1:
        spots = [(WIDTH / 2, spots[0][1])]
    line = " ".join(f"{x:.1f},{height:.1f}" for x, height in spots)
    limit = (
        f'<line class="bound" x1="0" x2="{WIDTH}" y1="{y(bound):.1f}" y2="{y(bound):.1f}"/>'
        if bound is not None
        else ""
    )
    told = f"{title}: {values[-1][1]:.4g} on {values[-1][0]:%Y-%m-%d}, {len(values)} points since {first:%Y-%m-%d}"
    return (
        f'<figure class="curve"><svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{html.escape(told)}">{limit}'
        f'<polyline points="{line}"/><circle cx="{spots[-1][0]:.1f}" cy="{spots[-1][1]:.1f}" r="3"/></svg>'
        f"<figcaption><span>{html.escape(title)}</span><b>{values[-1][1]:.4g}</b></figcaption></figure>"
    )


def curves(figures: Iterable[str]) -> str:
    return f'<div class="curves">{"".join(figures)}</div>'


def number(value: float | None, share: bool = False) -> str:
    if value is None:
        return "n/a"
    return f"{value:.1%}" if share else f"{value:.4g}"


def write(path: Path, text: str) -> Path:
    """Writes a page whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.part")
    aside.write_text(text, encoding="utf-8")
    return aside.replace(path)
