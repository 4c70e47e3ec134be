"""The page that shows people what the model does: what somebody watched, beside what they get and why.

One HTML file that needs nothing else: styles, pictures and sounds' outlines are inside it.
"""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from avrec.recommend.plan import Plan
from avrec.recommend.recipe import DEFAULT_USER

STYLE = (Path(__file__).parent / "page.css").read_text(encoding="utf-8")

_REASONS = {
    "watched": "People who liked {item} like this",
    "taste": "Close to your taste, most of all {item}",
    "picture": "Looks like {item}",
    "sound": "Sounds like {item}",
    "text": "Reads like {item}",
    "popular": "Popular right now",
    "fresh": "Just published",
    "none": "Fills the list: nothing speaks for it yet",
    "creator": "From the creator of {item}",
    "category": "In the same category as {item}",
    "tag": "Has a tag in common with {item}",
    "segment": "People like you like this more than others do",
    "path": "A few steps from {item}: the people who liked it, its creator, its tags",
}
_ALONE = {
    "watched": "People with your history like this",
    "taste": "Close to your taste",
    "picture": "Looks like what you liked",
    "sound": "Sounds like what you liked",
    "text": "Reads like what you liked",
    "creator": "From a creator you liked",
    "category": "In a category you liked",
    "tag": "Has tags you liked",
    "segment": "People like you like this more than others do",
    "path": "A few steps from what you liked",
}
_STRANGERS = "Nothing is known about them: new visitors, and people whose history is not in the data."
_SYNTHETIC = "The clips, the people and what they did are made by a program."
_LABELS = {"positive": "liked", "negative": "did not like", "unknown": "saw"}


@dataclass(frozen=True)
class Entry:
    """An item somebody watched (`note` is what they thought of it) or gets (`score` and reason)."""

    item_id: str
    note: str = ""
    score: float | None = None
    reason_kind: str = ""
    reason_item_id: str | None = None


@dataclass(frozen=True)
class Person:
    """One section: newest watched first, best recommendation first."""

    user_id: str
    watched: Sequence[Entry]
    seen: int
    recommended: Sequence[Entry]


@dataclass(frozen=True)
class ItemCard:
    """What the page says of an item; `picture` is a data URI, `links` its names by kind: creator, category, tag."""

    title: str
    category: str
    media_type: str
    picture: str
    links: Mapping[str, Sequence[str]] = field(default_factory=dict)


def render_page(plan: Plan, rows: int, people: Sequence[Person], items: Mapping[str, ItemCard]) -> str:
    """The page as text.

    Args:
        plan: The publication.
        rows: How many rows it has.
        people: Sections in order.
        items: Every item the sections name, by id.
    """
    place = {item: f"p{number}" for number, item in enumerate(items)}
    pictures = "\n".join(f".{place[item]}{{background-image:url({card.picture})}}" for item, card in items.items())
    sections = "\n".join(_section(person, items, place) for person in people)
    links = "".join(f'<a href="#{_anchor(p)}">{html.escape(_name(p))}</a>' for p in people)
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>Recommendations for {plan.recipe.run_date}</title>
<style>
{STYLE}
{pictures}
</style>
</head>
<body>
<header>
<p class="brand">avrec</p>
<h1>Recommendations for {plan.recipe.run_date:%-d %B %Y}{_mark(plan)}</h1>
<dl>{_facts(plan, rows)}</dl>
<nav aria-label="People on this page">{links}</nav>
</header>
<main>
{sections}
</main>
<footer>{_footer(plan)}</footer>
</body>
</html>
"""


def watched_entry(item_id: str, label: str) -> Entry:
    """An entry of somebody's past."""
    return Entry(item_id, note=_LABELS[label])


def reason_text(entry: Entry, items: Mapping[str, ItemCard]) -> str:
    """Why, in words a person uses."""
    if entry.reason_item_id is None:
        return _ALONE.get(entry.reason_kind) or _REASONS[entry.reason_kind]
    because = items.get(entry.reason_item_id)
    title = because.title if because else entry.reason_item_id
    text = _REASONS[entry.reason_kind].format(item=f"“{title}”")
    shared = _shared(entry.reason_kind, items.get(entry.item_id), because)
    return f"{text}: {', '.join(shared)}" if shared else text


def _shared(kind: str, one: ItemCard | None, other: ItemCard | None) -> list[str]:
    """The creator, the category or the tags over which a path leads from one item to the other."""
    if one is None or other is None:
        return []
    return [name for name in one.links.get(kind, ()) if name in other.links.get(kind, ())]


def _section(person: Person, items: Mapping[str, ItemCard], place: Mapping[str, str]) -> str:
    gets = "\n".join(_recommended(rank, e, items, place) for rank, e in enumerate(person.recommended, 1))
    past = "\n".join(_watched(entry, items, place) for entry in person.watched)
    left = f'<p class="empty">{_STRANGERS}</p>' if person.user_id == DEFAULT_USER else f'<ul class="past">{past}</ul>'
    more = person.seen - len(person.watched)
    count = f' <span class="count">and {more} before</span>' if more > 0 else ""
    return f"""<section id="{_anchor(person)}" aria-labelledby="h-{_anchor(person)}">
<h2 id="h-{_anchor(person)}">{html.escape(_name(person))}</h2>
<div class="beside">
<div><h3>Watched last{count}</h3>{left}</div>
<div><h3>Gets</h3><ol class="gets">{gets}</ol></div>
</div>
</section>"""


def _watched(entry: Entry, items: Mapping[str, ItemCard], place: Mapping[str, str]) -> str:
    card = items[entry.item_id]
    kind = "good" if entry.note == _LABELS["positive"] else "bad" if entry.note == _LABELS["negative"] else ""
    note = f'<span class="note {kind}">{html.escape(entry.note)}</span>'
    return f"<li>{_picture(card, place[entry.item_id])}<div>{_title(card)}{note}</div></li>"


def _recommended(rank: int, entry: Entry, items: Mapping[str, ItemCard], place: Mapping[str, str]) -> str:
    card = items[entry.item_id]
    why = f"<span>{html.escape(reason_text(entry, items))}</span>"
    because = f'<p class="why">{_small(entry.reason_item_id, items, place)}{why}</p>'
    score = f'<p class="score">score {entry.score:.3g}</p>' if entry.score is not None else ""
    number = f'<span class="rank" aria-hidden="true">{rank}</span>'
    return f"<li>{number}{_picture(card, place[entry.item_id])}{_title(card)}{because}{score}</li>"


def _small(item_id: str | None, items: Mapping[str, ItemCard], place: Mapping[str, str]) -> str:
    if item_id is None or item_id not in items:
        return ""
    return f'<span class="tiny {place[item_id]}" aria-hidden="true"></span>'


def _picture(card: ItemCard, place: str) -> str:
    return (
        f'<div class="picture {place}" role="img" aria-label="{html.escape(f"{card.media_type}: {card.title}")}"></div>'
    )


def _title(card: ItemCard) -> str:
    kind = f" · {html.escape(card.media_type)}" if card.media_type != "video" else ""
    return f'<p class="title">{html.escape(card.title)}</p><p class="category">{html.escape(card.category)}{kind}</p>'


def _facts(plan: Plan, rows: int) -> str:
    facts = {
        "Model": f"version {plan.model_version}",
        "People": f"{plan.users:,}",
        "Rows": f"{rows:,}",
        "List length": str(plan.recipe.k),
        "Run": plan.run_id,
        "Data": plan.dataset_version.removesuffix(".dir")[:12],
    }
    return "".join(f"<div><dt>{name}</dt><dd>{html.escape(value)}</dd></div>" for name, value in facts.items())


def _mark(plan: Plan) -> str:
    if not plan.synthetic:
        return ""
    return f' <span class="mark" title="{_SYNTHETIC}">synthetic data</span>'


def _footer(plan: Plan) -> str:
    trace = f"avrec tables trace --date {plan.recipe.run_date} --user USER --rank RANK"
    return (
        f"Publication <code>{html.escape(plan.publication_id)}</code>, "
        f"code <code>{html.escape(plan.commit[:12])}</code>. "
        f"<code>{trace}</code> follows a row to its model, run, data and code."
    )


def _name(person: Person) -> str:
    return "People the table does not know" if person.user_id == DEFAULT_USER else f"Person {person.user_id[:10]}"


def _anchor(person: Person) -> str:
    return "default" if person.user_id == DEFAULT_USER else f"u-{html.escape(person.user_id[:10], quote=True)}"
