"""Questions answered from passages by a language model, and each quote checked against them."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from rfplatform.documents.chunk import Chunk
from rfplatform.errors import InputError
from rfplatform.oran.neutral import harmless, printable
from rfplatform.oran.prompt import AGAIN, passages_prompt
from rfplatform.oran.quotes import Span, find_quote
from rfplatform.oran.reply import NOT_THERE, Reply, parse_reply, replace_marks
from rfplatform.retrieval.retriever import Hit, Retriever

if TYPE_CHECKING:
    from inspect_ai.model import Model, ModelOutput

Outcome = Literal["answered", "nothing relevant", "denied", "ungrounded"]
Relevance = Callable[[str, Sequence[Hit]], float]

TOP_K = 5
MOST_PASSAGES = 50
LONGEST_QUESTION = 4_000
"""Letters; more is a document, not a question."""
LONGEST_ANSWER = 1_024
"""Tokens of a reply: an endless answer ends here."""
TIMEOUT_S = 300
"""Of a call, with its retries."""


@dataclass(frozen=True)
class Citation:
    """A passage that an answer rests on.

    Attributes
    ----------
    number : int
        As the answer's [n] marks name it.
    chunk : Chunk
    spans : tuple of Span
        Quotes, by their places in `chunk.text`; empty where the passage is named without any.
    """

    number: int
    chunk: Chunk
    spans: tuple[Span, ...]

    @property
    def quotes(self) -> tuple[str, ...]:
        """The passage's own words."""
        return tuple(printable(span.of(self.chunk.text)) for span in self.spans)


@dataclass(frozen=True)
class Answer:
    """What came of a question.

    Attributes
    ----------
    question : str
    outcome : {"answered", "nothing relevant", "denied", "ungrounded"}
        "nothing relevant": the passages have too little to do with the question, and no model was
        asked. "denied": the model found no answer in them. "ungrounded": it answered, but no quote
        of its stands in a passage, twice.
    text : str
        With [n] marks; `NOT_THERE` unless answered.
    citations : tuple of Citation
        By number. Empty unless answered; then at least one has a quote.
    hits : tuple of Hit
        What was found, the best first; [n] is the nth.
    relevance : float
        Of the hits to the question, from 0 to 1.
    model : str
        Its name.
    unverified : tuple of str
        What was dropped, and why, a line each.
    rejected : str
        What the model wrote in place of a grounded answer.
    calls, tokens_in, tokens_out : int
        Of the model; tokens are 0 where it does not count them.
    seconds : float
        Wall time, retrieval included.
    """

    question: str
    outcome: Outcome
    text: str
    citations: tuple[Citation, ...]
    hits: tuple[Hit, ...]
    relevance: float
    model: str
    unverified: tuple[str, ...] = ()
    rejected: str = ""
    calls: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    seconds: float = 0.0

    @property
    def found(self) -> bool:
        """Whether the documents answer the question, with a quote that stands in one of them."""
        return self.outcome == "answered"


async def answer(
    question: str,
    retriever: Retriever,
    model: Model,
    *,
    relevance: Relevance,
    least_relevance: float,
    top_k: int = TOP_K,
) -> Answer:
    """Answer a question from what a retriever finds.

    Where the passages have too little to do with the question, no model is asked. A reply counts
    as an answer only if a quote in it stands in a passage; one that does not is asked for again
    once. What the documents say is data: it can spoil an answer, but not pass for one without a
    passage to show.

    Parameters
    ----------
    question : str
    retriever : Retriever
    model : inspect_ai.model.Model
    relevance : callable
        How much the hits have to do with the question, from 0 to 1.
    least_relevance : float
        Below which nothing is asked.
    top_k : int
        Passages that the model is shown.

    Raises
    ------
    InputError
        If the question is empty or far too long, or `top_k` out of bounds.
    MissingError
        If the model gives no answer.
    """
    started = time.perf_counter()
    question = check_question(question, top_k)
    hits = tuple(retriever(question, top_k))
    score = relevance(question, hits) if hits else 0.0
    talk = _Talk(model)
    outcome: Outcome = "nothing relevant"
    text, rejected = NOT_THERE, ""
    checked = _Checked()
    if hits and score >= least_relevance:
        chunks = [hit.chunk for hit in hits]
        system, asked = passages_prompt(question, chunks)
        reply = parse_reply(await talk.say(asked, system=system))
        checked = _check(reply, chunks)
        if not checked.grounded and not reply.denied:
            reply = parse_reply(await talk.say(AGAIN))
            again = _check(reply, chunks)
            checked = _Checked(again.citations, (*checked.unverified, *again.unverified))
        if checked.grounded:
            outcome = "answered"
            known = frozenset(citation.number for citation in checked.citations)
            passages = [f"{c.document}\n{c.heading}\n{c.text}" for c in chunks]
            text = replace_marks(harmless(reply.text, passages), known)
        elif reply.denied:
            outcome = "denied"
        else:
            outcome, rejected = "ungrounded", printable(reply.text)
    return Answer(
        question=question,
        outcome=outcome,
        text=text,
        citations=checked.citations if outcome == "answered" else (),
        hits=hits,
        relevance=score,
        model=str(model),
        unverified=checked.unverified,
        rejected=rejected,
        calls=talk.calls,
        tokens_in=talk.tokens_in,
        tokens_out=talk.tokens_out,
        seconds=time.perf_counter() - started,
    )


def check_question(question: str, top_k: int) -> str:
    """The question without what steers a terminal.

    Raises
    ------
    InputError
        If it is empty or far too long, or `top_k` out of bounds.
    """
    plain = " ".join(printable(question).split())
    if not plain:
        raise InputError("the question is empty: ask something")
    if len(plain) > LONGEST_QUESTION:
        raise InputError(
            f"the question has {len(plain):,} letters: at most {LONGEST_QUESTION:,}; a text to "
            "look into belongs in the index"
        )
    if not 1 <= top_k <= MOST_PASSAGES:
        raise InputError(f"--top-k {top_k} must be from 1 to {MOST_PASSAGES}")
    return plain


@dataclass(frozen=True)
class _Checked:
    """What of a reply holds, and what does not."""

    citations: tuple[Citation, ...] = ()
    unverified: tuple[str, ...] = ()

    @property
    def grounded(self) -> bool:
        return any(citation.spans for citation in self.citations)


def _check(reply: Reply, chunks: Sequence[Chunk]) -> _Checked:
    """Hold every number and every quote of a reply against the passages."""
    spans: dict[int, list[Span]] = {n: [] for n in reply.cited if 1 <= n <= len(chunks)}
    unverified = [
        f"[{n}]: there is no such passage" for n in reply.cited if not 1 <= n <= len(chunks)
    ]
    for number, quote in reply.quotes:
        there, span = _whose(number, quote, chunks)
        if span is None:
            mark = f"[{number}]" if number else "a quote"
            unverified.append(f'{mark}: no passage says "{_short(quote)}"')
            continue
        if number and there != number:
            unverified.append(f'"{_short(quote)}" stands in [{there}], not in [{number}]')
        known = spans.setdefault(there, [])
        if span not in known:
            known.append(span)
    citations = tuple(
        Citation(number, chunks[number - 1], tuple(sorted(found, key=lambda span: span.start)))
        for number, found in sorted(spans.items())
    )
    return _Checked(citations, tuple(dict.fromkeys(unverified)))


def _whose(number: int, quote: str, chunks: Sequence[Chunk]) -> tuple[int, Span | None]:
    """In which passage a quote stands, and where; first of all in the one that is named."""
    order = sorted(range(1, len(chunks) + 1), key=lambda n: n != number)
    for n in order:
        if span := find_quote(quote, chunks[n - 1].text):
            return n, span
    return number, None


def _short(quote: str, most: int = 100) -> str:
    line = " ".join(printable(quote).split())
    return line if len(line) <= most else line[: most - 1] + "…"


class _Talk:
    """A conversation with a model, and what it has cost."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self._messages: list[Any] = []
        self.calls = self.tokens_in = self.tokens_out = 0

    async def say(self, words: str, *, system: str = "") -> str:
        """Say something; what the model replies."""
        from inspect_ai.model import (
            ChatMessageAssistant,
            ChatMessageSystem,
            ChatMessageUser,
            GenerateConfig,
        )

        from rfplatform.oran.providers import no_answer

        if system:
            self._messages.append(ChatMessageSystem(content=system))
        self._messages.append(ChatMessageUser(content=words))
        config = GenerateConfig(max_tokens=LONGEST_ANSWER, max_retries=1, timeout=TIMEOUT_S)
        try:
            output = await self._model.generate(self._messages, config=config)
        except Exception as error:  # noqa: BLE001  (whatever a provider's package raises)
            raise no_answer(self._model, error) from None
        self._count(output)
        self._messages.append(ChatMessageAssistant(content=output.completion))
        return output.completion

    def _count(self, output: ModelOutput) -> None:
        self.calls += 1
        if output.usage is not None:
            self.tokens_in += output.usage.input_tokens
            self.tokens_out += output.usage.output_tokens
