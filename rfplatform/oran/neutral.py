"""Words of strangers made harmless: for a terminal, a prompt, and a page that shows them."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

LEFT_OUT = "(link left out)"

_ESCAPES = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]"  # colours, cursor
    r"|\x1b[\]PX^_].*?(?:\x07|\x1b\\|\Z)"  # titles, links, device strings: with what they carry
    r"|\x1b[ -/]*[0-~]"
    r"|\x9b[0-?]*[ -/]*[@-~]",
    re.DOTALL,
)
_ROLES = re.compile(
    r"<[|｜][^<>\n]{1,60}[|｜]>"  # <|im_start|>, <|eot_id|>, <｜User｜>
    r"|</?s>|<(?:bos|eos|pad|unk)>|<(?:start|end)_of_turn>|<</?SYS>>"
    r"|</?(?:system|assistant|user|human|tool_call|tool_response|function_calls?)>"
    r"|\[/?(?:INST|SYSTEM_PROMPT|AVAILABLE_TOOLS|TOOL_CALLS|TOOL_RESULTS)\]"
    r"|<{3,}|>{3,}",  # of which our own delimiters are made
    re.IGNORECASE,
)
_OTHER_BRACKETS = str.maketrans("<>[]", "‹›⟦⟧")
_URL = re.compile(r"\b(?:[a-z][a-z0-9+.-]{1,20}://|data:|javascript:|www\.)[^\s<>\"')\]]+", re.I)
_TARGET = re.compile(r"(\]\()\s*([^()\s]*(?:\([^()\s]*\)[^()\s]*)*)")
_TAG = re.compile(
    r"</?(?:a|img|script|style|iframe|frame|object|embed|form|input|button|video|audio|source|svg"
    r"|link|meta|base)\b[^>]*>?",
    re.I,
)


def printable(text: str) -> str:
    """The text without anything that steers a terminal or hides words from a reader.

    Escape sequences go with what they carry; so do control characters other than line breaks and
    tabs, and invisible format characters (direction overrides, zero widths, tags).
    """
    plain = _ESCAPES.sub("", text.replace("\r\n", "\n").replace("\r", "\n"))
    return "".join(
        letter
        for letter in plain
        if letter in "\n\t" or unicodedata.category(letter) not in ("Cc", "Cf", "Cs", "Co")
    )


def neutral(text: str) -> str:
    """A passage for a prompt: printable, and nothing in it ends it or begins another's turn.

    The brackets of role markers of chat templates ("<|im_start|>", "[INST]") and of our own
    delimiters are replaced by others that look alike, so that words and lengths stay.
    """
    return _ROLES.sub(lambda found: found[0].translate(_OTHER_BRACKETS), printable(text))


def harmless(text: str, passages: Iterable[str]) -> str:
    """A model's answer for a reader: nothing in it is fetched, and no link is the model's own.

    Pictures become links and active HTML goes, since a page that shows them would fetch an
    address into which a planted instruction had written what else the model knew. Addresses that
    do not stand in a passage, word by word, are left out.
    """
    known = "\n".join(passages)
    text = _TAG.sub("", printable(text)).replace("![", "[")

    def url(found: re.Match[str]) -> str:
        bare = found[0].rstrip(".,;:!?*`_")
        return found[0] if bare in known else found[0].replace(bare, LEFT_OUT)

    def target(found: re.Match[str]) -> str:
        return found[0] if found[2] in known else f"{found[1]}{LEFT_OUT.strip('()')}"

    return _URL.sub(url, _TARGET.sub(target, text)).strip()
