"""Requests as people speak them, and answers fit to be spoken: English and Chinese, by rules.

Understood: what is looked for; how many; what must not be in it ("no vocals"); something like the last one; calm or
lively; music, video or podcast. What is not understood stays part of the words that are searched. Chinese comes in
either script, and with words that sound like the ones meant where it was transcribed (向 for 像, 人生 for 人声).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from avrec.errors import DataError
from avrec.search.find import MOST_TEXT, Hit, Question

DEFAULT_K = 5
MOST_SPOKEN = 3
"""Titles in a spoken answer; more nobody remembers."""
VOCALS = "singing, speech, vocals"

_NUMBERS = {"one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "ten": 10, "一": 1, "两": 2, "二": 2, "三": 3,
            "四": 4, "五": 5, "十": 10}  # fmt: skip
_COUNT = re.compile(
    r"\b(one|two|three|four|five|ten|\d{1,2})\s+"
    r"(?=(?:\w+\s+)?(?:songs?|videos?|clips?|tracks?|podcasts?|items?|things?)\b)"
    r"|([一两二三四五十]|\d{1,2})\s*(?:首|个|段|部|条)",
    re.IGNORECASE,
)
_OPENINGS = (
    re.compile(
        r"^(?:(?:hey|ok|okay|please|can you|could you|would you|i want to (?:hear|see|watch)|"
        r"i(?:'d| would) like)[\s,]+)*"
        r"(?:(?:play|find|show|search(?: for)?|look for|give|put on|recommend)\b)?\s*(?:(?:me|us)\b)?\s*",
        re.IGNORECASE,
    ),
    re.compile(r"^(?:请|麻烦)?(?:帮我|给我)?(?:播放|放|找|搜索|搜|推荐|来)?(?:一下|一点|一些|点|些)?\s*"),
)
# Whisper often writes Mandarin in traditional characters; those of the rules, as the rules have them.
_SIMPLIFIED = str.maketrans(
    "請麻煩幫給來點樂兩個條無帶聲詞純類剛這樣與靜緩輕鬆熱鬧歡動視頻東麼",
    "请麻烦帮给来点乐两个条无带声词纯类刚这样与静缓轻松热闹欢动视频东么",
)
_INSTRUMENTAL = re.compile(
    r"\b(?:instrumental(?: only)?|(?:no|without(?: any)?) (?:vocals?|voices?|singing|lyrics))\b"
    r"|(?:不要|没有|无)(?:人声|人生|唱歌|歌声|歌词)的?|纯音乐",
    re.IGNORECASE,
)
_WITHOUT = re.compile(
    r"\b(?:no|without(?: any)?|but not)\s+([\w' -]+?)(?=\s*(?:[,.;!?]|\band\b|\bbut\b|$))"
    r"|(?:不要|没有|不带)([^,，。;；的]+)的?",
    re.IGNORECASE,
)
_LIKE_LAST = re.compile(
    r"\b(?:(?:something|more|anything|one)\s+)?(?:(?:like|similar to)\s+(?:the\s+)?(?:last|previous)(?:\s+one)?"
    r"|(?:like|similar to)\s+(?:this|that)(?:\s+one)?|more\s+of\s+(?:the same|this|that))\b"
    r"|(?:像|向|跟|和|与)?(?:上一[个首手]|刚才(?:那个|那首|的)?|这个|这首)(?:类似|一样|差不多)?的?",
    re.IGNORECASE,
)
_CALM = re.compile(r"\b(?:calm|quiet|relaxing|soothing|slow|peaceful|gentle)\b|安静|平静|舒缓|轻柔|放松", re.IGNORECASE)
_LIVELY = re.compile(r"\b(?:lively|energetic|fast|upbeat|exciting|wild)\b|热闹|激烈|欢快|动感", re.IGNORECASE)
_KINDS = {
    "video": re.compile(r"\b(?:videos?|clips?|films?)\b|视频|短片|影片", re.IGNORECASE),
    "podcast": re.compile(r"\bpodcasts?\b|播客", re.IGNORECASE),
}
_FILLER = re.compile(
    r"^(?:some(?:thing|one)?|anything|a|an|the|one|ones|,|\.|的|东西|一些|点|些|什么)+$", re.IGNORECASE
)


@dataclass(frozen=True)
class Request:
    """A spoken request, understood.

    Attributes:
        said: The words.
        question: What is looked for.
        k: How many.
        chinese: It was said in Chinese, and is answered in it.
    """

    said: str
    question: Question
    k: int
    chinese: bool


def understand(said: str, last: str | None = None) -> Request:
    """What a spoken request asks for.

    Args:
        said: The transcribed words.
        last: Id of the item that was played last.

    Raises:
        DataError: nothing was said, too much was, or "like the last one" where there was none.
    """
    text = " ".join(said.split())
    if not text or len(text) > MOST_TEXT:
        raise DataError(f"request: expected 1 to {MOST_TEXT} characters of speech, got {len(text)}.")
    question, rest = Question(), text.translate(_SIMPLIFIED)
    without: list[str] = []
    if _INSTRUMENTAL.search(rest):
        without.append(VOCALS)
        rest = _INSTRUMENTAL.sub(" ", rest)
    for match in _WITHOUT.finditer(rest):
        without.append(next(group for group in match.groups() if group).strip())
    rest = _WITHOUT.sub(" ", rest)
    if _LIKE_LAST.search(rest):
        if last is None:
            raise DataError("request: 'like the last one', but nothing was played; name it with --last ITEM.")
        question = replace(question, like=last)
        rest = _LIKE_LAST.sub(" ", rest)
    rest, k = _count(rest)
    for opening in _OPENINGS:
        rest = opening.sub("", rest.strip(), count=1)
    kinds = tuple(kind for kind, pattern in _KINDS.items() if pattern.search(rest))
    calm = int(bool(_CALM.search(rest))) - int(bool(_LIVELY.search(rest)))
    question = replace(question, text=_tidy(rest), without=tuple(without), calm=calm, media_types=kinds)
    if not question.text and question.like is None:
        question = replace(question, text=text)
    return Request(text, question, k, any("\u4e00" <= character <= "\u9fff" for character in text))


def _count(text: str) -> tuple[str, int]:
    match = _COUNT.search(text)
    if match is None:
        return text, DEFAULT_K
    number = next(group for group in match.groups() if group)
    k = _NUMBERS.get(number.lower()) or int(number)
    return _COUNT.sub(" ", text, count=1), max(1, min(k, 50))


def _tidy(text: str) -> str:
    words = [word for word in re.split(r"[\s,，。.!?！？;；]+", text) if word]
    while words and _FILLER.match(words[0]):
        words.pop(0)
    while words and _FILLER.match(words[-1]):
        words.pop()
    return re.sub(r"的?东西$", "", " ".join(words)).strip(" 的")


def spoken_answer(request: Request, hits: Sequence[Hit]) -> str:
    """One or two sentences to be read aloud."""
    names = [spoken_name(hit) for hit in hits[:MOST_SPOKEN]]
    if request.chinese:
        if not hits:
            return "没有找到合适的内容。"
        return f"找到{len(hits)}个结果。第一个是{names[0]}" + (
            f",然后是{'、'.join(names[1:])}。" if names[1:] else "。"
        )
    if not hits:
        return "I found nothing like that."
    count = "one item" if len(hits) == 1 else f"{len(hits)} items"
    rest = f", then {' and '.join(names[1:])}" if names[1:] else ""
    return f"I found {count}. First {names[0]}{rest}."


def spoken_name(hit: Hit) -> str:
    """A title, or what stands in for one; nothing that a voice would spell out."""
    name = hit.title or hit.item_id.rpartition("/")[2].rpartition(".")[0] or hit.item_id
    flat = re.sub(r"[_<>\"“”\s]+", " ", name).strip()
    return flat[:80] or "an item without a name"
