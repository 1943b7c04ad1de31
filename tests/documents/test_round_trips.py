"""Random documents written in one format after another, and read back word by word."""

import random
import textwrap
from html import escape

import docx
import pytest
from tiny_pdf import TinyPdf

from rfplatform.documents.chunk import chunks
from rfplatform.documents.read import read_document

VOCABULARY = [
    "radio", "unit", "plane", "control", "user", "section", "type", "delay",
    "window", "symbol", "carrier", "beam", "weight", "index", "eCPRI", "timing",
    "advance", "message", "fronthaul", "interface", "E2", "near-RT", "RIC", "xApp",
    "policy", "slice", "KPI",
]  # fmt: skip


def made(seed):
    """Chapters of clauses of paragraphs, as (number, title, paragraphs) in reading order."""
    rng = random.Random(seed)

    def words(low, high):
        return " ".join(rng.choices(VOCABULARY, k=rng.randint(low, high)))

    parts = []
    for chapter in range(1, 5):
        parts.append((str(chapter), words(1, 4).capitalize(), []))
        for clause in range(1, rng.randint(2, 5)):
            paragraphs = [words(5, 90).capitalize() + "." for _ in range(rng.randint(1, 4))]
            parts.append((f"{chapter}.{clause}", words(1, 6).capitalize(), paragraphs))
    return parts


def as_markdown(parts, path):
    path.write_text(
        "\n\n".join(
            "\n\n".join([f"{'#' * (1 + n.count('.'))} {n} {title}", *map(wrapped, paragraphs)])
            for n, title, paragraphs in parts
        )
    )


def as_rst(parts, path):
    lines = []
    for number, title, paragraphs in parts:
        heading = f"{number} {title}"
        lines += [heading, ("-" if "." in number else "=") * len(heading), ""]
        for paragraph in paragraphs:
            lines += [wrapped(paragraph), ""]
    path.write_text("\n".join(lines))


def as_text(parts, path):
    path.write_text(
        "\n\n".join(
            "\n\n".join([f"{number}  {title}", *map(wrapped, paragraphs)])
            for number, title, paragraphs in parts
        )
    )


def as_html(parts, path):
    path.write_text(
        "".join(
            f"<h{1 + n.count('.')}>{n} {escape(title)}</h{1 + n.count('.')}>"
            + "".join(f"\n<p>{escape(wrapped(p))}</p>" for p in paragraphs)
            for n, title, paragraphs in parts
        )
    )


def as_docx(parts, path):
    word = docx.Document()
    for number, title, paragraphs in parts:
        word.add_heading(f"{number}\t{title}", 1 + number.count("."))
        for paragraph in paragraphs:
            word.add_paragraph(paragraph)
    word.save(path)


def as_pdf(parts, path):
    pdf, top = TinyPdf().page(), 60

    def room(height):
        nonlocal top
        if top + height > 760:
            pdf.page()
            top = 60

    for number, title, paragraphs in parts:
        room(60)
        pdf.text(60, top + 10, f"{number} {title}", 14, "bold")
        top += 40
        for paragraph in paragraphs:
            for line in wrapped(paragraph).split("\n"):
                room(12)
                pdf.text(60, top, line)
                top += 12
            top += 8
    pdf.write(path)


def wrapped(paragraph):
    return textwrap.fill(paragraph, 80, break_on_hyphens=False)


WRITERS = {
    ".md": as_markdown,
    ".rst": as_rst,
    ".txt": as_text,
    ".html": as_html,
    ".docx": as_docx,
    ".pdf": as_pdf,
}


@pytest.mark.parametrize("suffix", WRITERS)
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_every_format_gives_back_headings_and_paragraphs(tmp_path, suffix, seed):
    parts = made(seed)
    WRITERS[suffix](parts, tmp_path / f"random{suffix}")
    (document,) = read_document(tmp_path / f"random{suffix}")
    found = [(s.number, s.title, s.text) for s in document.sections]
    assert found == [(n, title, "\n\n".join(paragraphs)) for n, title, paragraphs in parts]
    assert [s.level for s in document.sections] == [1 + n.count(".") for n, _, _ in parts]
    said = {word for chunk in chunks(document) for word in chunk.text.split()}
    assert said == {word for _, _, paragraphs in parts for p in paragraphs for word in p.split()}
