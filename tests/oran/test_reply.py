"""Replies of models, in the many forms that small ones give them."""

import pytest

from rfplatform.oran.reply import numbers_of, parse_reply, replace_marks

QUOTE = "The O-DU hosts RLC and MAC."


@pytest.mark.parametrize(
    "written",
    [
        f'It hosts RLC [1].\n\nQUOTES:\n[1] "{QUOTE}"',
        f"It hosts RLC [1].\n\n**Quotes:**\n- [1]: “{QUOTE}”",
        f'It hosts RLC [1].\n## QUOTES:\n1. "{QUOTE}"',
        f"It hosts RLC [1].\nQuote: [1] {QUOTE}",
        f'It hosts RLC 【1】.\nQuotes:\n* [passage 1] "{QUOTE}"',
        f'It hosts RLC [Passage 1].\nquotes:\nPassage (1): "{QUOTE}"',
        f'<think>The [7] says "nothing of that sort".\nQUOTES:\n[7] x</think>It hosts RLC [1].\n'
        f"QUOTES:\n[1] '{QUOTE}'",
        f'It hosts RLC: "{QUOTE}" [1].',
        f'It hosts RLC [1].\nQUOTES:\n[1]\n"{QUOTE}"',
        'It hosts RLC [1].\nQUOTES:\n[1] "The O-DU hosts\nRLC and MAC."',
    ],
)
def test_a_reply_is_read_in_any_form(written):
    reply = parse_reply(written)
    assert reply.text.startswith("It hosts RLC")
    assert reply.cited == (1,)
    assert [(n, " ".join(q.split())) for n, q in reply.quotes] == [(1, QUOTE)]
    assert not reply.denied


def test_a_quote_without_a_number_is_one_of_any_passage():
    assert parse_reply(f'RLC.\nQUOTES:\n"{QUOTE}"').quotes == ((0, QUOTE),)


def test_marks_name_one_several_or_a_range():
    assert numbers_of("1") == [1]
    assert numbers_of("1, 3;4") == [1, 3, 4]
    assert numbers_of("2-4") == [2, 3, 4]
    assert numbers_of("4-2") == [4, 2]
    assert len(numbers_of("1-999")) == 2  # no range: nobody cites a thousand passages
    reply = parse_reply("A [1, 3]. B [2-4][9].\nQUOTES:\n[5] some words of it")
    assert reply.cited == (1, 3, 2, 4, 9, 5)


def test_marks_of_passages_that_are_not_there_go():
    assert replace_marks("A [1, 9]. B [9] .\nC [2-3]!", frozenset({1, 2})) == "A [1]. B.\nC [2]!"


@pytest.mark.parametrize(
    "written", ["not in the documents", "Not in the documents.", "**NOT IN THE\nDOCUMENTS**"]
)
def test_a_denial_is_heard(written):
    assert parse_reply(written).denied


@pytest.mark.parametrize("written", ["", "   \n", "<think>and then it ended", "QUOTES:", "[", "[]"])
def test_scraps_are_no_error(written):
    reply = parse_reply(written)
    assert reply.cited == ()
    assert reply.quotes == ()
