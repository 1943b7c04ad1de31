import pytest

from rfplatform.retrieval.tokens import LONGEST_TOKEN, token_lists


def tokens(text: str) -> list[str]:
    return next(token_lists([text]))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("O-RU", ["oru", "ru"]),
        ("O-RUs", ["oru", "ru"]),
        ("E2AP", ["e2ap", "e2", "ap"]),
        ("RRC_CONNECTED", ["rrcconnect", "rrc", "connect"]),
        ("7.2x", ["7.2x", "7", "2x"]),
        ("7-2x", ["7.2x", "7", "2x"]),
        ("xApps", ["xapp", "app"]),
        ("sub-6", ["sub6", "sub", "6"]),
        ("TS 38.331", ["ts", "38.331", "38", "331"]),
        ("UE's UEs", ["ue", "ue"]),
        ("near-real-time", ["nearrealtim", "near", "real", "time"]),
        ("connections connected", ["connect", "connect"]),
        ("the UP, not up", ["up"]),
        ("", []),
        ("?! ... --", []),
        ("é 中文 café", ["中文", "café"]),
    ],
)
def test_identifiers_are_kept_whole_and_in_parts(text, expected):
    assert tokens(text) == expected


def test_every_spelling_shares_a_token_with_the_others():
    for one, other in (("O-RU", "ORU"), ("7.2x", "7-2x"), ("RRC CONNECTED", "RRC_CONNECTED")):
        assert set(tokens(one)) & set(tokens(other))


def test_what_is_no_word_is_left_out():
    assert tokens("x" * (LONGEST_TOKEN + 1)) == []
    assert tokens("x" * LONGEST_TOKEN) == ["x" * LONGEST_TOKEN]
    assert tokens("\ud800 \0 \x1b[0m") == ["0m"]
