"""The page that shows what was understood of every item of an extracted folder, beside its picture.

One HTML file that needs nothing else. Whatever comes from files or models is escaped.
"""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from avrec.features.origin import read_origin
from avrec.features.sentiment import CLEAR
from avrec.features.signals import item_signals, write_signals
from avrec.features.tables import folders_of, items_of
from avrec.recommend.page import STYLE
from avrec.recommend.thumbnails import card, thumbnails

MOST_ITEMS = 500
"""Items on one page; a larger folder shows its first ones and says so."""
MOST_TRANSCRIPT = 600
UNSAFE = 0.8

Row = Mapping[str, Any]


def write_items_page(out: Path, workers: int = 2) -> Path:
    """Describes every item that `avrec features extract` found and writes `out/index.html`.

    `out/signals.parquet` gets the descriptions and sentiments too.

    Raises:
        DataError: `out` was not written by `avrec features extract`.
    """
    origin = read_origin(out)
    items = items_of(out)
    signals = item_signals(items, folders_of(out), origin.params)
    write_signals(out, signals)
    shown = items.slice(0, MOST_ITEMS)
    pictures = thumbnails(shown, origin.folder, origin.params.limits, workers)
    path = out / "index.html"
    aside = out / ".index.part"
    aside.write_text(render(signals.to_pylist()[:MOST_ITEMS], pictures, items.num_rows), encoding="utf-8")
    aside.replace(path)
    print(f"{items.num_rows} items described; see {path}")
    return path


def render(rows: Sequence[Row], pictures: Mapping[str, str], total: int) -> str:
    """The page as text: a card an item (`avrec.schema.SIGNALS`), its picture a data URI."""
    styles = "".join(
        f".p{number}{{background-image:url({_picture(row, pictures)})}}" for number, row in enumerate(rows)
    )
    cards = "".join(_card(number, row) for number, row in enumerate(rows))
    count = f"{total} items" if total == len(rows) else f"the first {len(rows)} of {total} items"
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; "
        'img-src data:"><title>What was understood</title>'
        f"<style>{STYLE}{_STYLE}{styles}</style></head><body>"
        f'<header><p class="brand">avrec</p><h1>What was understood of {count}</h1></header>'
        f'<main class="items">{cards}</main></body></html>\n'
    )


def _card(number: int, row: Row) -> str:
    sure, unsure = _tags(row, "visual_tags")
    heard, maybe = _tags(row, "sound_tags")
    facts = [
        ("Seen", _chips(sure, unsure)),
        ("Heard", _chips(heard, maybe)),
        ("Said", _transcript(row)),
        ("Feeling of its words", _feeling(row)),
        ("Look", _look(row)),
    ]
    listed = "".join(f"<dt>{name}</dt><dd>{value}</dd>" for name, value in facts)
    return (
        f'<section><div class="picture p{number}"></div><h2>{html.escape(row["item_id"])}</h2>'
        f'<p class="said">{html.escape(row.get("description") or "")} <span class="mark">generated</span></p>'
        f'<dl class="facts">{listed}</dl></section>'
    )


def _picture(row: Row, pictures: Mapping[str, str]) -> str:
    return pictures.get(row["item_id"]) or card("item")


def _tags(row: Row, column: str) -> tuple[list[str], list[str]]:
    """Names that are certain, and the rest of the best."""
    sure = list(row.get(f"sure_{column}") or ())
    return sure, [name for name in row.get(column) or () if name not in sure]


def _chips(sure: Iterable[str], unsure: Iterable[str]) -> str:
    chips = [f'<span class="chip">{html.escape(name)}</span>' for name in sure]
    chips += [f'<span class="chip unsure" title="a guess">{html.escape(name)}?</span>' for name in unsure]
    return " ".join(chips) or "nothing certain"


def _transcript(row: Row) -> str:
    text = row.get("transcript") or ""
    if not text:
        return "no transcript"
    cut = text if len(text) <= MOST_TRANSCRIPT else text[:MOST_TRANSCRIPT] + "…"
    language = html.escape(row.get("transcript_language") or "")
    return f'<q lang="{language}">{html.escape(cut)}</q>' + (f" ({language})" if language else "")


def _feeling(row: Row) -> str:
    score = row.get("sentiment")
    if score is None:
        return "no words to judge"
    word = "good" if score >= CLEAR else "bad" if score <= -CLEAR else "neutral"
    return f"{word}, {score:+.2f} (spread {row['sentiment_spread']:.2f}, {row['sentiment_negative']:.0%} negative)"


def _look(row: Row) -> str:
    names = (("brightness", "light"), ("colourfulness", "colour"), ("motion", "movement"), ("safety", "unsafe"))
    parts = [f"{word} {row[name]:.2f}" for name, word in names if row.get(name) is not None]
    if (row.get("safety") or 0.0) >= UNSAFE:
        parts.append('<span class="mark">to be reviewed</span>')
    return ", ".join(parts) or "no picture"


_STYLE = """
.items { display: grid; grid-template-columns: repeat(auto-fill, minmax(300px, 1fr)); gap: 20px; align-items: start; }
.items section { margin: 0; padding: 14px; }
.items h2 { font-size: .95rem; margin: 10px 0 6px; }
.said { margin: 0 0 12px; }
.facts { display: grid; grid-template-columns: 92px minmax(0, 1fr); gap: 8px 12px; margin: 0; }
.facts dd { font-weight: 400; font-size: .9rem; }
.chip { display: inline-block; padding: 1px 9px; margin: 0 2px 3px 0; border-radius: 99px; color: var(--good);
  background: var(--good-paper); }
.unsure { background: none; border: 1px dashed var(--line); color: var(--soft); }
"""
