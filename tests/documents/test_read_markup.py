"""Markdown, HTML and reStructuredText: what is said is kept, what only points is not."""

import gzip
import json
import re
from collections import Counter
from pathlib import Path

import pytest

from rfplatform.documents.chunk import chunks
from rfplatform.documents.html import read_html
from rfplatform.documents.markdown import read_markdown
from rfplatform.documents.read import read_documents
from rfplatform.documents.rst import read_rst

OPEN_DOCUMENTS = Path(__file__).parents[2].parent / "shared/data/oran/open_docs.jsonl.gz"

MARKDOWN = """\
---
title: "RIC guide"
version: 1.4
license: Apache-2.0
---
<!-- SPDX-License-Identifier: CC-BY-4.0 -->

- [Setup](#setup)
  - [Links](#links)

# 2 Setup {#setup}

A paragraph with `code`, *stress*, a [link](https://example.org) and <b>HTML</b>
on two lines.

1. First
   ```
   make all
   ```
3. Second
   - nested *item*

   goes on

| Name | Value |
|------|-------|
| `a` | one \\| two |

<table><tr><th>K</th><th>V</th></tr><tr><td>x</td><td>9</td></tr></table>

Links
-----
> quoted words
"""


def test_markdown():
    content = read_markdown(MARKDOWN.encode())
    assert (content.title, content.version, content.licence) == ("RIC guide", "1.4", "Apache-2.0")
    setup, links = content.sections
    assert [(s.number, s.title, s.level) for s in content.sections] == [
        ("2", "Setup", 1),
        ("", "Links", 2),
    ]
    assert links.parents == ("2 Setup",)
    assert [(b.kind, b.text) for b in setup.blocks] == [
        ("text", "A paragraph with code, stress, a link and HTML on two lines."),
        ("text", "1. First"),
        ("code", "make all"),
        ("text", "2. Second\n- nested item\ngoes on"),
        ("table", "| Name | Value |\n| --- | --- |\n| a | one \\| two |"),
        ("table", "| K | V |\n| --- | --- |\n| x | 9 |"),
    ]
    assert links.text == "quoted words"


def test_a_rule_at_the_beginning_is_no_front_matter():
    content = read_markdown(b"---\nSome words.\n\n---\nMore words.\n")
    assert "Some words." in content.sections[0].text
    assert "More words." in "".join(s.text for s in content.sections)


HTML = """\
<!DOCTYPE html><html><head><title>E2 &amp; more</title><style>p {}</style>
<meta name="version" content="2.0"><!-- SPDX-License-Identifier: MIT --></head><body>
<nav><ul><li>Home</li></ul></nav><script>alert("no")</script>
<h1>E2 interface<a class="headerlink" href="#e2">¶</a></h1>
Loose <b>words</b>, then<br>a break.
<div><p>First.</p><p>Second.</p></div>
<ol start="4"><li>
  <p>four</p></li><li>five<ul><li>inner</li></ul></li></ol>
<h2>3.1 Tables</h2>
<table><caption>Causes</caption><tr><th colspan="2">Cause</th><th>Note</th></tr>
<tr><td rowspan="2">radio</td><td>1</td><td>a</td></tr><tr><td>2</td><td>b</td></tr></table>
<pre>int x;
  int y;</pre>
<table><tr><td><h2>In a layout</h2><p>Words there.</p></td></tr></table>
</body></html>"""


def test_html():
    content = read_html(HTML.encode())
    assert (content.title, content.version, content.licence) == ("E2 & more", "2.0", "MIT")
    assert [(s.heading, s.level) for s in content.sections] == [
        ("E2 interface", 1),
        ("3.1 Tables", 2),
        ("In a layout", 2),
    ]
    e2, tables, layout = content.sections
    assert [b.text for b in e2.blocks] == [
        "Loose words, then\na break.",
        "First.",
        "Second.",
        "4. four\n5. five\n- inner",
    ]
    assert [(b.kind, b.text) for b in tables.blocks] == [
        ("text", "Causes"),
        ("table", "| Cause |  | Note |\n| --- | --- | --- |\n| radio | 1 | a |\n| radio | 2 | b |"),
        ("code", "int x;\n  int y;"),
    ]
    assert layout.text == "Words there."


def test_spans_that_a_hostile_page_makes_up_cost_little():
    cells = "<td colspan=1000 rowspan=60000>x</td>" * 300
    content = read_html(f"<table><tr>{cells}</tr>{'<tr></tr>' * 300}</table>".encode())
    assert len(content.sections[0].text) < 1_000_000


def test_html_in_its_own_encoding():
    page = '<meta charset="windows-1252"><p>Grüße</p>'.encode("cp1252")
    assert read_html(page).sections[0].text == "Grüße"


RST = """\
.. SPDX-License-Identifier: CC-BY-4.0

:Version: 0.7
:Author: nobody

.. |ric| replace:: near-RT RIC
.. |br| raw:: html

   <br />

Guide
=====
The |ric| is told of in :doc:`the guide <guide>`, `a page <https://x.org>`_ and :ref:`here`.

.. toctree::
   :maxdepth: 2

   pointers-are-left-out

.. include:: /etc/hostname

.. raw:: html

   <p>not raw</p>

.. openapi:: file.yaml
   :group:

   The unknown directive says **this** with :term:`role`.

   .. deeper:: argument kept

      And so do those within.

2.1 Parts
---------
.. note:: Noted words.

.. code-block:: c

   int x;

#. one
#. two

   - inner

term
   defined so

.. csv-table:: Sizes
   :header: "a", "b"

   "1", "2"

+-----+-----+
| wide      |
+-----+-----+
| c   | d   |
+-----+-----+

.. figure:: picture.png
   :alt: what is seen

   The caption.
"""


def test_rst():
    content = read_rst(RST.encode())
    assert (content.title, content.version, content.licence) == ("Guide", "0.7", "CC-BY-4.0")
    fields, guide, parts = content.sections
    assert fields.text == "Version: 0.7\nAuthor: nobody"
    assert [b.text for b in guide.blocks] == [
        "The near-RT RIC is told of in the guide, a page and here.",
        "file.yaml",
        "The unknown directive says this with role.",
        "argument kept",
        "And so do those within.",
    ]
    assert (parts.heading, parts.level, parts.parents) == ("2.1 Parts", 2, ("Guide",))
    assert [(b.kind, b.text) for b in parts.blocks] == [
        ("text", "Noted words."),
        ("code", "int x;"),
        ("text", "1. one\n2. two\n- inner"),
        ("text", "term: defined so"),
        ("text", "Sizes"),
        ("table", "| a | b |\n| --- | --- |\n| 1 | 2 |"),
        ("table", "| wide |  |\n| --- | --- |\n| c | d |"),
        ("text", "The caption."),
    ]


def test_rst_that_is_broken_is_kept_as_it_is_written():
    content = read_rst(
        b"Title\n===\n\n*no end and |unknown| and :bad:`role`\n\n.. image::\n\nLast.\n"
    )
    text = " ".join([s.heading + " " + s.text for s in content.sections])
    assert all(word in text for word in ("Title", "no end", "unknown", "role", "Last."))
    assert "`" not in text


def test_open_documents_lose_few_words(tmp_path):
    """Every fourth document against its source: only markup, links and contents are left out."""
    if not OPEN_DOCUMENTS.is_file():
        pytest.skip("the open documents are not here (shared/data/oran)")
    with gzip.open(OPEN_DOCUMENTS, "rt", encoding="utf-8") as file:
        lines = file.readlines()[::4]
    rows = [json.loads(line) for line in lines]
    path = tmp_path / "some.jsonl"
    path.write_text("".join(lines))
    documents = list(read_documents([path]))
    assert len({d.name for d in documents}) == len(rows) == 119
    assert sum(len(d.sections) for d in documents) > 700
    assert sum(len(chunks(d)) for d in documents) > 900
    assert all(d.licence for d in documents)
    total = lost = 0
    for row, document in zip(rows, documents, strict=True):
        said = Counter(words(" ".join(f"{s.heading} {s.text}" for s in document.sections)))
        # Targets of links, paths, comments, options and tables of contents are no words.
        bare = re.sub(r"<!--.*?-->|\]\([^)]*\)|<[^<>]*>|https?:\S+|^\s*:\w+:.*$|^\.\. .*$", " ",
                      row["text"], flags=re.S | re.M)  # fmt: skip
        bare = re.sub(r"^\s*[-*+] \[[^\]]*\]\s*$|^   .*/.*$", " ", bare, flags=re.M)
        given = Counter(words(bare))
        total += given.total()
        lost += (given - said).total()
    assert lost / total < 0.02


def words(text):
    return [word.lower() for word in re.findall(r"[A-Za-z0-9]{3,}", text)]
