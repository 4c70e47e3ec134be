"""A description written by a small language model, of which nothing stays that it was not told.

SmolLM2-135M-Instruct (Allal et al. 2025) reads the description by rules and says it in one sentence. It is fluent and
invents; so each part of the sentence is held against what it read, word by word (`faithful`).
"""

from __future__ import annotations

import re
import secrets
from functools import cached_property
from typing import Any

from avrec.errors import WeightsError
from avrec.features.caption import Evidence, describe
from avrec.features.weights import SMOLLM, find_weights

INSTALL = "pip install 'avrec[language]'"
TASK = "Describe the clip in one sentence. Use only the facts. Add nothing."
EXAMPLES = (
    (
        "A 20-second dark video. Heard: crowd, applause. Title: “Open mic night”. Tags: jokes.",
        "A dark 20-second video titled Open mic night, with jokes, with a crowd and applause.",
    ),
    ("A 2-minute recording. Heard: piano.", "A 2-minute recording, with a piano."),
    (
        "A 40-second bright video. Seen: harbour, boat. Heard: at times gull. Said: “We are leaving now”",
        "A bright 40-second video of a harbour and a boat, with a gull at times, in which somebody says we are leaving "
        "now.",
    ),
)
CONTEXT, LONGEST = 1024, 80  # tokens read and written at the most
FREE = {"a", "an", "the", "of", "with", "and", "in", "on", "at", "to", "by", "for", "from", "which", "that", "is",
        "are", "it", "its", "as", "there", "this", "some", "time"}  # fmt: skip
"""Words that say nothing of their own. No negation is among them: what was not found is not known to be absent."""
BECAUSE = {
    "seen": {"shows", "showing", "see", "sees"},
    "heard": {"sound", "sounds", "hear", "hears"},
    "said": {"say", "says", "saying", "somebody", "someone"},
    "title": {"titled", "called"},
    "tags": {"tagged"},
}
"""Words that may be used where the facts have that label."""
WORD = re.compile(r"\w+(?:['’-]\w+)*")


class Writer:
    """Writes descriptions; equal facts give equal words on one machine.

    Raises:
        WeightsError: the library or the model is not there; says what to install.
    """

    def __call__(self, evidence: Evidence) -> str | None:
        """One sentence, or None where nothing of what the model wrote is covered by the facts."""
        facts = describe(evidence)
        return faithful(self._write(facts), facts)

    @cached_property
    def _server(self) -> Any:
        path = find_weights(SMOLLM)
        try:
            import xllamacpp
        except ImportError as error:
            raise WeightsError(f"features.description.by: language_model needs llama.cpp. Run: {INSTALL}") from error
        params = xllamacpp.CommonParams()
        params.model.path = str(path)
        params.n_ctx, params.n_parallel, params.verbosity = CONTEXT, 1, -1
        # One thread: the order of a sum, and so a word, must not hang on how many cores a machine has.
        params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1
        # The library opens a port of 127.0.0.1; nobody else has the key to it.
        params.api_keys, params.offline = [secrets.token_hex()], True
        return xllamacpp.Server(params)

    def _write(self, facts: str) -> str:
        messages = [{"role": "system", "content": TASK}]
        for given, told in EXAMPLES:
            messages += [{"role": "user", "content": given}, {"role": "assistant", "content": told}]
        messages.append({"role": "user", "content": facts})
        request = {"messages": messages, "max_tokens": LONGEST, "temperature": 0.0, "seed": 7, "cache_prompt": False}
        return str(self._server.handle_chat_completions(request)["choices"][0]["message"]["content"])


def faithful(text: str, facts: str) -> str | None:
    """The first sentence of `text` without the parts, between commas, that hold a word the facts do not.

    Args:
        text: What a model wrote.
        facts: What it was told, as `avrec.features.caption.describe` puts it.

    Returns:
        The sentence; None where its first part is not covered.
    """
    sentence = re.split(r"(?<=[.!?])\s|\n", text.strip())[0].rstrip(".!? ")
    told = _words(facts)
    known = FREE | told | {word for label, words in BECAUSE.items() if f"{label.title()}: " in facts for word in words}
    parts = [part.strip() for part in re.split(r"[,;]", sentence)]
    kept = [part for part in dict.fromkeys(parts) if _words(part) - FREE and _words(part) <= known]
    if not kept or kept[0] != parts[0]:
        return None
    return f"{', '.join(kept)}."


def _words(text: str) -> set[str]:
    """Words in lower case and the singular, parts of hyphened ones too."""
    whole = [word.lower() for word in WORD.findall(text)]
    return {_singular(part) for word in whole for part in (word, *word.split("-"))}


def _singular(word: str) -> str:
    return word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith("ss") else word
