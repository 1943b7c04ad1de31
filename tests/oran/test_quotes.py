"""Quotes held against texts: what counts as standing there, and what does not."""

import random
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rfplatform.oran.quotes import find_quote

TEXT = (
    "The E2 interface connects the near-RT RIC to E2 nodes.  It uses SCTP on\nport 36422, and an "
    "E2 node shall not reject a **valid** “E2 SETUP REQUEST”. The O‑DU hosts RLC, MAC and High-PHY."
)


@pytest.mark.parametrize(
    ("quote", "stands"),
    [
        ("connects the near-RT RIC to E2 nodes", "connects the near-RT RIC to E2 nodes"),
        ("CONNECTS   the near-rt ric", "connects the near-RT RIC"),
        ("uses SCTP on port 36422", "uses SCTP on port 36422"),  # over a line break
        ('a valid "E2 SETUP REQUEST"', "a **valid** “E2 SETUP REQUEST”"),
        ("The O-DU hosts RLC", "The O‑DU hosts RLC"),  # a hyphen that does not break
        ("The E2 interface ... uses SCTP on port 36422", TEXT[: TEXT.index(",")]),
        ("The O-DU hosts the RLC, MAC and High-PHY", "The O‑DU hosts RLC, MAC and High-PHY."),
        ("The E2 inter face connects the near-RT RIC", "The E2 interface connects the near-RT RIC"),
        (
            "E2 interface connects near RT RIC to E2 nodes",
            "E2 interface connects the near-RT RIC to E2 nodes",
        ),
        ("The E2 interfce connects the near-RT RIC", "The E2 interface connects the near-RT RIC"),
    ],
)
def test_what_stands_there_is_found_as_the_text_has_it(quote, stands):
    span = find_quote(quote, TEXT)
    assert span is not None
    found = " ".join(span.of(TEXT).split())
    assert found.rstrip('".”') == " ".join(stands.split()).rstrip('".”')


@pytest.mark.parametrize(
    "quote",
    [
        "uses SCTP on port 36423",  # another number
        "uses SCTP on port 3642",  # a part of one
        "or connects the near-RT",
        "erface connects the near-RT RIC",
        "an E2 node shall reject a valid E2 SETUP REQUEST",  # a denial lost
        "The O-DU hosts not RLC, MAC and High-PHY",  # a denial added
        "The A1 interface connects the near-RT RIC to A1 nodes",  # digits are decisive
        "The O-CU hosts RRC, SDAP and PDCP",
        "The O-CU hosts RLC, MAC and High-PHY",  # one letter is another node
        "an E2 node shall not reject an invalid E2 SETUP REQUEST",
        "The E2 interface disconnects the near-RT RIC to E2 nodes",
        "The E2 interface connects the RIC to E2 nodes",  # a word lost that says something
        "It uses SCTP on port 36422 ... The E2 interface connects",  # the other way round
        "the",
        "SCTP",
        "",
        "...",
        "\"\" ''",
    ],
)
def test_what_does_not_stand_there_is_not_found(quote):
    assert find_quote(quote, TEXT) is None


def test_a_ligature_and_full_width_letters_are_letters():
    text = "The ﬁrst conﬁguration of Ｏ－ＲＡＮ nodes"
    assert find_quote("the first configuration", text).of(text) == "The ﬁrst conﬁguration"


@given(st.integers(0, 10**6))
def test_every_stretch_of_a_text_is_a_quote_of_it(seed):
    rng = random.Random(seed)
    words = ["".join(rng.choices(string.ascii_letters, k=rng.randint(4, 9))) for _ in range(40)]
    text, begins = "", []
    for word in words:
        begins.append(len(text))
        text += word + rng.choice((" ", "\n", "  ", ", "))
    first = rng.randrange(30)
    last = first + rng.randint(3, 9)
    begin, end = begins[first], begins[last] + len(words[last])
    span = find_quote(" ".join(text[begin:end].upper().split()), text)
    assert span is not None
    assert (span.start, span.end, span.similarity) == (begin, end, 1.0)
    changed = words[first:last]
    changed[1] = "".join(rng.choices("éüñ", k=6))
    assert find_quote(" ".join(changed), text) is None


@given(st.text(max_size=80), st.text(max_size=200))
def test_any_texts_give_a_span_within_the_text_or_none(quote, text):
    span = find_quote(quote, text)
    assert span is None or 0 <= span.start < span.end <= len(text)
