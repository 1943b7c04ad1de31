"""What language models make of a prompt of ours: one that minds the marks, one that falls for all.

Both are functions from a prompt to a reply, to be served by `llm_server`.
"""

from __future__ import annotations

import re

PASSAGE = re.compile(r"<<<PASSAGE (\d+) ([0-9a-f]{16})>>>\n(.*?)\n<<<END \1 \2>>>", re.DOTALL)
ORDER = re.compile(r"ignore (?:all )?previous instructions and (?:answer|say) '([^']*)'", re.I)
NOT_THERE = "not in the documents"


def passages_of(prompt: str) -> dict[int, str]:
    """The passages between marks that hold the secret which the system's message told."""
    secret = re.search(r"<<<PASSAGE n ([0-9a-f]{16})>>>", prompt)
    if secret is None:
        return {}
    return {int(n): text for n, mark, text in PASSAGE.findall(prompt) if mark == secret[1]}


def honest(prompt: str) -> str:
    """The sentence of the passages that has most words of the question, with its quote."""
    question = re.findall(r"^Question: (.*)$", prompt, re.MULTILINE)[-1]
    asked = _words(question)
    best = (0, 0, "")
    for number, text in passages_of(prompt).items():
        body = text.partition("\n")[2]
        for sentence in re.split(r"(?<=[.!?])\s+", " ".join(body.split())):
            common = len(asked & _words(sentence))
            best = max(best, (common, -number, sentence))
    common, number, sentence = best
    if common < 2:
        return NOT_THERE
    return f'{sentence} [{-number}]\n\nQUOTES:\n[{-number}] "{sentence}"'


def obedient(prompt: str) -> str:
    """Follows the last order that it sees, but for those within the passages' marks."""
    orders = (
        ORDER.findall(PASSAGE.sub("", prompt)) if passages_of(prompt) else ORDER.findall(prompt)
    )
    return orders[-1] if orders else honest(prompt)


def gullible(prompt: str) -> str:
    """Follows the last order that it sees, wherever that stands."""
    orders = ORDER.findall(prompt)
    return orders[-1] if orders else honest(prompt)


def _words(text: str) -> set[str]:
    """The beginnings of a text's longer words."""
    found = {word[:4] for word in re.findall(r"\w{3,}", text.lower())}
    return found - {"the", "and", "does", "what", "whic", "how"}
