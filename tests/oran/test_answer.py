"""Answers over a real connection to a model, whose quotes are held against the passages."""

import asyncio
import re

import pytest
from asked_models import NOT_THERE, honest, passages_of
from llm_server import free_port, serving

from rfplatform.documents.chunk import Chunk
from rfplatform.errors import InputError, MissingError
from rfplatform.oran import answer as answering
from rfplatform.oran.answer import Answer, answer
from rfplatform.oran.providers import open_model
from rfplatform.retrieval.retriever import Hit

RLC = "The O-DU hosts the RLC, MAC and High-PHY layers of the base station."
E2 = "The E2 interface connects the near-RT RIC to E2 nodes. It uses SCTP on port 36422."


def chunk(text: str, number: int = 0, heading: str = "4.2 Nodes", document: str = "a.md") -> Chunk:
    return Chunk(
        f"{document}#{number}", document, "A", "v07.00", "CC-BY-4.0", 0, heading, (), 12, text
    )


def ask(
    say,
    texts=(RLC, E2),
    question="Which layers does the O-DU host?",
    *,
    relevance=1.0,
    fault=lambda *_: "ok",
    **options,
) -> tuple[Answer, list[str]]:
    """An answer of a model that says so, and what it was asked."""
    hits = [
        Hit(text if isinstance(text, Chunk) else chunk(text, n), 9.0 - n)
        for n, text in enumerate(texts)
    ]
    with serving(answer=say, fault=fault) as served:
        model = open_model("openai-api/local/tiny", served.url)
        found = answer(
            question,
            lambda _, top_k: hits[:top_k],
            model,
            relevance=lambda *_: relevance,
            least_relevance=0.5,
            **options,
        )
        return asyncio.run(found), served.prompts


def test_an_answer_has_its_passages_and_their_own_words():
    found, prompts = ask(honest)
    assert found.found
    assert found.text == f"{RLC} [1]"
    (citation,) = found.citations
    assert (citation.number, citation.quotes) == (1, (RLC.rstrip("."),)) or citation.quotes == (
        RLC,
    )
    assert (citation.chunk.page, citation.chunk.heading) == (12, "4.2 Nodes")
    (span,) = citation.spans
    assert RLC.startswith(RLC[span.start : span.end])
    assert (found.calls, found.tokens_in, found.tokens_out) == (1, 9, 3)
    assert found.model == "openai-api/local/tiny"
    assert found.unverified == ()
    assert found.seconds > 0
    assert len(prompts) == 1


def test_the_prompt_has_each_passage_with_its_source_between_marks_of_its_own():
    _, (first,) = ask(honest)
    _, (second,) = ask(honest)
    assert passages_of(first) == {
        1: f"(a.md, v07.00, 4.2 Nodes)\n{RLC}",
        2: f"(a.md, v07.00, 4.2 Nodes)\n{E2}",
    }
    secrets = [re.findall(r"<<<PASSAGE n (\w{16})>>>", p)[0] for p in (first, second)]
    assert secrets[0] != secrets[1]


def test_no_model_is_asked_where_nothing_is_relevant():
    found, prompts = ask(honest, relevance=0.49)
    assert (found.outcome, found.found, found.text) == ("nothing relevant", False, NOT_THERE)
    assert (found.calls, prompts) == (0, [])
    assert len(found.hits) == 2
    found, prompts = ask(honest, texts=())
    assert (found.outcome, found.relevance, prompts) == ("nothing relevant", 0.0, [])


def test_a_model_that_finds_no_answer_is_believed():
    found, prompts = ask(lambda _: "Not in the documents.")
    assert (found.outcome, found.text, found.citations) == ("denied", NOT_THERE, ())
    assert len(prompts) == 1


@pytest.mark.parametrize(
    ("reply", "dropped"),
    [
        ("The O-DU hosts RLC.", ()),
        ("The O-DU hosts RLC [1].", ()),  # a number proves nothing
        (
            'RLC [1].\nQUOTES:\n[1] "The O-DU hosts PDCP and SDAP of it all."',
            ('[1]: no passage says "The O-DU hosts PDCP and SDAP of it all."',),
        ),
        ('RLC [9].\nQUOTES:\n[9] "made up words here"', ("[9]: there is no such passage",)),
        ("", ()),
    ],
)
def test_a_reply_that_rests_on_nothing_is_asked_for_again_and_then_not_shown(reply, dropped):
    found, prompts = ask(lambda _: reply)
    assert (found.outcome, found.found, found.text) == ("ungrounded", False, NOT_THERE)
    assert (found.citations, found.calls, len(prompts)) == ((), 2, 2)
    assert found.rejected == reply.partition("\nQUOTES")[0]
    assert found.unverified[: len(dropped)] == dropped
    assert "QUOTES" in prompts[1].rpartition("That reply can't be used")[2]


def test_the_second_reply_counts_if_it_rests_on_a_passage():
    replies = iter(("RLC.", honest))

    def say(prompt):
        reply = next(replies)
        return reply if isinstance(reply, str) else reply(prompt)

    found, _ = ask(say)
    assert found.found
    assert (found.calls, found.tokens_in) == (2, 18)


def test_what_does_not_hold_is_dropped_and_told_and_the_rest_stays():
    reply = (
        f'RLC [1]. SCTP [2]. More [7].\nQUOTES:\n[1] "{RLC}"\n[2] "It uses TCP on port 36422 and"\n'
        '[7] "of a passage that is not there"'
    )
    found, _ = ask(lambda _: reply)
    assert found.found
    assert found.text == "RLC [1]. SCTP [2]. More."
    assert [(c.number, bool(c.spans)) for c in found.citations] == [(1, True), (2, False)]
    assert found.unverified == (
        "[7]: there is no such passage",
        '[2]: no passage says "It uses TCP on port 36422 and"',
        '[7]: no passage says "of a passage that is not there"',
    )


def test_a_quote_of_another_passage_is_given_to_that_one():
    found, _ = ask(lambda _: f'SCTP [1].\nQUOTES:\n[1] "{E2}"')
    assert [(c.number, bool(c.spans)) for c in found.citations] == [(1, False), (2, True)]
    assert found.unverified == (f'"{E2}" stands in [2], not in [1]',)


def test_two_quotes_of_one_passage_are_one_source():
    words = ("connects the near-RT RIC", "uses SCTP on port 36422")
    quotes = "\n".join(f'[2] "{w}"' for w in (words[1], words[0], words[1]))
    found, _ = ask(lambda _: f"SCTP [2].\nQUOTES:\n{quotes}")
    (citation,) = found.citations
    assert citation.quotes == words


@pytest.mark.parametrize("fault", ["401", "malformed", "dropped"])
def test_a_model_that_fails_is_one_line(fault, monkeypatch):
    monkeypatch.setenv("LOCAL_API_KEY", "sk-very-secret-key")
    monkeypatch.setattr(answering, "TIMEOUT_S", 2)
    with pytest.raises(MissingError, match="openai-api/local/tiny gave no answer at http") as error:
        ask(honest, fault=lambda *_: fault)
    assert "\n" not in str(error.value)
    assert "very-secret" not in str(error.value)


def test_a_server_that_does_not_run_is_one_line(monkeypatch):
    monkeypatch.setattr(answering, "TIMEOUT_S", 2)
    model = open_model("openai-api/local/tiny", f"http://127.0.0.1:{free_port()}/v1")
    asking = answer(
        "Which layers?",
        lambda *_: [Hit(chunk(RLC), 1.0)],
        model,
        relevance=lambda *_: 1.0,
        least_relevance=0.5,
    )
    with pytest.raises(MissingError, match="gave no answer at http://127"):
        asyncio.run(asking)


def test_a_refusal_is_no_answer():
    found, _ = ask(honest, fault=lambda *_: "refusal")
    assert found.outcome == "ungrounded"


@pytest.mark.parametrize(
    ("question", "top_k", "told"),
    [
        ("", 5, "empty"),
        (" \x1b[2J\x00 ", 5, "empty"),
        ("why " * 2000, 5, "letters"),
        ("Which layers?", 0, "--top-k 0"),
        ("Which layers?", 51, "--top-k 51"),
    ],
)
def test_a_question_that_is_none_is_refused_before_anything_is_asked(question, top_k, told):
    with pytest.raises(InputError, match=told):
        ask(honest, question=question, top_k=top_k)
