"""Chunks: bounds, coverage and borders, on made-up documents of any shape."""

import random
import time
from itertools import pairwise

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from rfplatform.documents.chunk import chunks
from rfplatform.documents.document import Block, Document, Section
from rfplatform.documents.outline import markdown_table
from rfplatform.errors import InputError

SIZE, OVERLAP = 80, 20


def document(*blocks, name="spec.pdf"):
    section = Section("7.2", "Procedures", 2, ("7 Functions",), tuple(blocks), page=9)
    return Document(name, "Title", "v1.0", "CC-BY-4.0", "", (section,))


words = st.text("abcdefg.?!,:;-|'()XYZ019", min_size=1, max_size=30)
lines = st.lists(words, min_size=1, max_size=12).map(" ".join)
paragraphs = st.builds(
    lambda rows, page: Block("\n".join(rows), "text", page),
    st.lists(lines, min_size=1, max_size=5),
    st.one_of(st.none(), st.integers(1, 99)),
)
listings = st.builds(
    lambda rows: Block("\n".join(rows).strip("\n ") or "x", "code"),
    st.lists(st.builds(lambda n, line: " " * n + line, st.integers(0, 200), lines), max_size=6),
)
cells = st.text("abcdefg XYZ019", max_size=25)
tables = st.builds(
    lambda rows: Block(markdown_table([["name", "value"], *rows]), "table"),
    st.lists(st.lists(cells, min_size=1, max_size=3), max_size=8),
)
blocks = st.lists(st.one_of(paragraphs, listings, tables), min_size=1, max_size=7)


@given(blocks, st.sampled_from([(80, 0), (80, 20), (80, 39), (200, 60)]))
@example([Block("x" * 500)], (80, 20))
@example(
    [
        Block(markdown_table([["name", "value"], ["", "", "0"]]), "table"),
        Block(markdown_table([["name", "value"], *[["0"]] * 4, ["0" * 7], ["", "", "0"]]), "table"),
    ],
    (80, 0),
)
@example(
    [
        Block("Table 1: " + "y" * 200),
        Block(markdown_table([["z" * 300, "b"], ["c", "d"]]), "table"),
    ],
    (80, 20),
)
@settings(max_examples=150, deadline=None)
def test_no_word_is_lost_and_none_is_made_up(given_blocks, sizes):
    size, overlap = sizes
    source = document(*given_blocks)
    found = chunks(source, size=size, overlap=overlap)
    text = source.sections[0].text
    assert all(0 < len(chunk.text) <= size for chunk in found)
    assert all(chunk.text.strip() for chunk in found)
    # Pieces of words that were too long for a chunk are joined again by leaving out blanks.
    at = 0
    letters = "".join(text.split())
    for chunk in found:
        said = "".join(chunk.text.split())
        place = letters.rfind(said, 0, at + len(said)) if chunk.text in text else -1
        if place >= 0 and place + len(said) > at:
            at = place + len(said)
            continue
        # The header was repeated over rows that go on where the last chunk ended; that may, by
        # chance, stand in the text elsewhere.
        assert any(block.kind == "table" for block in given_blocks)
        held = max(
            (n for n in range(1, len(said) + 1) if letters.startswith(said[-n:], at)), default=0
        )
        assert held, (chunk.text, letters[at:])
        at += held
    assert at == len(letters)


@given(st.lists(paragraphs, min_size=1, max_size=8))
@settings(max_examples=100, deadline=None)
def test_chunks_share_no_more_than_the_overlap(given_blocks):
    """Where each chunk lies is found by walking through the text, chunk by chunk."""
    text = document(*given_blocks).sections[0].text
    end = 0
    for chunk in chunks(document(*given_blocks), size=SIZE, overlap=OVERLAP):
        # Of equal places the one that leaves no gap and shares the least.
        starts = [i for i in range(len(text)) if text.startswith(chunk.text, i)]
        fitting = [i for i in starts if not text[end:i].strip() and i + len(chunk.text) > end]
        assert fitting
        start = max(fitting)
        assert end - start <= OVERLAP
        end = start + len(chunk.text)
    assert not text[end:].strip()


def test_what_a_chunk_knows():
    source = document(Block("One sentence.", page=10), Block("Another.", page=11))
    (chunk,) = chunks(source)
    assert (chunk.id, chunk.document, chunk.title) == ("spec.pdf#0.0", "spec.pdf", "Title")
    assert (chunk.version, chunk.licence) == ("v1.0", "CC-BY-4.0")
    assert (chunk.section, chunk.heading, chunk.parents) == (0, "7.2 Procedures", ("7 Functions",))
    assert (chunk.page, chunk.text) == (10, "One sentence.\n\nAnother.")


def test_a_heading_alone_gives_no_chunk_and_no_chunk_crosses_a_section():
    sections = tuple(
        Section(str(i), "t", 1, (), (Block(f"Words of {i}."),) if i % 2 else ()) for i in range(6)
    )
    found = chunks(Document("d", "d", "", "", "", sections))
    assert [(c.section, c.text) for c in found] == [(i, f"Words of {i}.") for i in (1, 3, 5)]
    assert [c.id for c in found] == ["d#1.0", "d#3.0", "d#5.0"]


def test_cuts_between_paragraphs_then_sentences_then_words():
    paragraph = "Alpha beta gamma delta epsilon. Zeta eta theta, e.g. Iota."
    found = chunks(document(Block(paragraph), Block(paragraph)), size=SIZE, overlap=0)
    assert [c.text for c in found] == [paragraph, paragraph]
    long = (
        "The first one is here and ends. The second one goes on for some more words. Third it is."
    )
    found = chunks(document(Block(long)), size=SIZE, overlap=0)
    assert [c.text for c in found] == [
        "The first one is here and ends.",
        "The second one goes on for some more words. Third it is.",
    ]
    endless = " ".join(f"word{i}" for i in range(40))
    found = chunks(document(Block(endless)), size=SIZE, overlap=OVERLAP)
    every = set(endless.split())
    assert all(set(c.text.split()) <= every for c in found)
    assert all(a.text.split()[-1] in b.text.split() for a, b in pairwise(found))


def test_a_sentence_that_fits_is_shared():
    text = (
        "A long first sentence stands here for it all. It is short. "
        "And a third one follows it here now."
    )
    first, second = chunks(document(Block(text)), size=SIZE, overlap=OVERLAP)
    assert first.text.endswith("It is short.")
    assert second.text.startswith("It is short.")


def test_a_table_that_fits_is_whole_and_a_longer_one_repeats_its_header():
    small = markdown_table([["name", "value"], ["a", "1"], ["b", "2"]])
    padding = "Filling words that take most of a chunk, up to its end. "
    (before, table) = chunks(document(Block(padding), Block(small, "table")), size=SIZE, overlap=0)
    assert (before.text, table.text) == (padding.strip(), small)
    rows = [[f"row{i}", f"value {i}"] for i in range(12)]
    large = markdown_table([["name", "value"], *rows])
    found = chunks(
        document(Block("Table 7.2-1: Values"), Block(large, "table", 12)), size=120, overlap=0
    )
    head = "Table 7.2-1: Values\n\n| name | value |\n| --- | --- |\n"
    assert all(c.text.startswith(head) for c in found)
    assert "\n".join(c.text.removeprefix(head) for c in found) == "\n".join(large.split("\n")[2:])
    assert {c.page for c in found} == {12}


def test_a_listing_is_cut_at_its_lines_and_keeps_their_indents():
    lines = [f"    leaf number-{i} {{ type int32; }}" for i in range(10)]
    found = chunks(document(Block("\n".join(lines), "code")), size=SIZE, overlap=0)
    assert [line for c in found for line in c.text.split("\n")] == lines


def test_the_page_is_that_of_the_paragraph_in_which_a_chunk_begins():
    found = chunks(
        document(*(Block(f"Sentence number {i} of some length.", page=i) for i in range(1, 9))),
        size=SIZE,
        overlap=0,
    )
    assert [c.page for c in found] == [1, 3, 5, 7]
    assert chunks(document(Block("No page.")))[0].page == 9


@pytest.mark.parametrize(("size", "overlap"), [(20, 0), (80, 40), (80, -1)])
def test_sizes_that_make_no_sense_are_refused(size, overlap):
    with pytest.raises(InputError, match="overlap below half"):
        chunks(document(Block("Words.")), size=size, overlap=overlap)


def test_a_large_document_is_cut_fast():
    """A sixteenth of 100,000 chunks' text; the whole is to take well below a minute."""
    rng = random.Random(1)
    sentences = [
        " ".join(rng.choices(["alpha", "beta", "gamma", "of", "the", "radio"], k=15)).capitalize()
        + "."
        for _ in range(500)
    ]
    sections = tuple(
        Section(
            str(i),
            "t",
            1,
            (),
            tuple(Block(" ".join(rng.choices(sentences, k=10))) for _ in range(10)),
        )
        for i in range(600)
    )
    source = Document("d", "d", "", "", "", sections)
    assert sum(len(s.text) for s in sections) > 4_000_000
    started = time.process_time()
    found = chunks(source)
    assert len(found) > 6_000
    assert time.process_time() - started < 4
