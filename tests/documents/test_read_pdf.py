"""PDFs that the tests write: headings, paragraphs, tables, running heads, faults."""

import pytest
from tiny_pdf import TinyPdf

from rfplatform.documents.read import read_document
from rfplatform.errors import InputError

BODY = (
    "The near-RT RIC hosts applications that con-",
    "trol the radio access network in near-real-",
    "time over the E2 interface. These are called",
    "xApps. The term con- trol stays as it is.",
)


def spec(path, *, bookmarks=False, bold=True):
    """A small specification of 5 pages with all that a real one has."""
    pdf = TinyPdf(title="O-RAN Fronthaul")
    if bookmarks:
        pdf.bookmarks = [
            (1, "1 Scope", 3),
            (1, "2 Procedures", 3),
            (2, "2.1 General", 3),
            (2, "2.2 A heading whose words are many and go on to the second line of the page", 4),
            (1, "Annex A (informative): Examples", 5),
        ]
    heading = "bold" if bold else "plain"
    for number in range(1, 6):
        pdf.page()
        pdf.text(60, 30, "O-RAN.WG4.CUS.0-R003-v14.00", 8)
        pdf.text(60, 800, f"Copyright by nobody   {number}", 8)
        if number == 1:
            pdf.text(60, 100, "O-RAN Fronthaul", 24, "bold")
        elif number == 2:
            pdf.text(60, 80, "Contents", 14, "bold")
            entries = ["1 Scope", "2 Procedures", "2.1 General", "Annex A (informative): Examples"]
            for i, entry in enumerate(entries):
                pdf.text(60, 110 + 14 * i, f"{entry} {'.' * 60} {3 + i // 2}")
        elif number == 3:
            pdf.text(60, 60, "1 Scope", 14, heading)
            pdf.lines(60, 90, BODY)
            pdf.lines(60, 170, ["Control of the network is near-real-time.", "- one", "- two"])
            pdf.text(60, 240, "2 Procedures", 14, heading)
            pdf.text(60, 270, "2.1 General", 12, heading)
            pdf.lines(60, 300, ["Table 2.1-1: Delays"])
            pdf.table(60, 320, [["Name", "Value"], ["T1a", "50 us"], ["T2a", "70 us"]])
        elif number == 4:
            pdf.table(60, 60, [["T3a", "90 us"], ["T4a", "99 us"]])
            pdf.text(60, 150, "2.2 A heading whose words are many and go", 12, heading)
            pdf.text(60, 165, "on to the second line of the page", 12, heading)
            pdf.lines(60, 200, ["struct header {", "    int version;", "};"], 10, "mono")
            pdf.lines(60, 700, ["This sentence goes on over the border of"])
        else:
            pdf.lines(60, 60, ["the page and ends there."])
            pdf.text(60, 120, "Annex A (informative): Examples", 14, heading)
            pdf.lines(60, 150, ["An example of nothing in particular."])
    return pdf.write(path)


@pytest.mark.parametrize("bookmarks", [False, True])
def test_headings_text_tables_and_listings(tmp_path, bookmarks):
    (document,) = read_document(spec(tmp_path / "spec.pdf", bookmarks=bookmarks))
    assert (document.title, document.version) == ("O-RAN Fronthaul", "R003-v14.00")
    numbered = [s for s in document.sections if s.number]
    assert [s.heading for s in numbered] == [
        "1 Scope",
        "2 Procedures",
        "2.1 General",
        "2.2 A heading whose words are many and go on to the second line of the page",
        "Annex A (informative): Examples",
    ]
    assert [s.level for s in numbered] == [1, 1, 2, 2, 1]
    assert [s.page for s in numbered] == [3, 3, 3, 4, 5]
    assert numbered[2].parents == ("2 Procedures",)
    scope, _, general, many, annex = numbered
    assert scope.blocks[0].text == (
        "The near-RT RIC hosts applications that control the radio access network in "
        "near-real-time over the E2 interface. These are called xApps. The term con- trol stays "
        "as it is."
    )
    assert scope.blocks[1].text == "Control of the network is near-real-time.\n- one\n- two"
    assert [b.kind for b in general.blocks] == ["text", "table", "table"]
    assert general.blocks[1].text.split("\n")[:3] == [
        "| Name | Value |",
        "| --- | --- |",
        "| T1a | 50 us |",
    ]
    # What goes on over the page has the header again, and knows its page.
    assert general.blocks[2].text.startswith("| Name | Value |\n| --- | --- |\n| T3a")
    assert [b.page for b in general.blocks] == [3, 3, 4]
    assert many.blocks[0].kind == "code"
    assert many.blocks[0].text == "struct header {\n    int version;\n};"
    assert (
        many.blocks[1].text == "This sentence goes on over the border of the page and ends there."
    )
    assert annex.text == "An example of nothing in particular."
    whole = "\n".join(s.text for s in document.sections)
    assert "Copyright" not in whole
    assert "....." not in whole
    assert whole.count("T1a") == 1


def test_bookmarks_find_headings_that_do_not_stand_out(tmp_path):
    pdf = TinyPdf(bookmarks=[(1, "Overview", 1), (2, "Details", 1)]).page()
    for i, line in enumerate(
        ["Overview", "All is well here.", "Details", "Nothing else is known."]
    ):
        pdf.text(60, 60 + 40 * i, line)
    (document,) = read_document(pdf.write(tmp_path / "plain.pdf"))
    found = [(s.title, s.level, s.text) for s in document.sections]
    assert found == [
        ("Overview", 1, "All is well here."),
        ("Details", 2, "Nothing else is known."),
    ]


def test_numbers_in_the_body_are_no_headings(tmp_path):
    pdf = TinyPdf().page().text(60, 40, "1 Scope", 14, "bold")
    pdf.lines(
        60,
        80,
        ["The limits hold as they are given in clause", "5.3.1 of the other document and in"],
    )
    pdf.lines(60, 104, ["7 more of them, which are not named here."])
    (document,) = read_document(pdf.write(tmp_path / "body.pdf"))
    assert [s.heading for s in document.sections] == ["1 Scope"]
    assert "clause 5.3.1 of the other document and in 7 more" in document.sections[0].text


def test_pages_without_text_are_told(tmp_path):
    pdf = (
        TinyPdf().page().text(60, 60, "Words here.").page().page().page().text(60, 60, "And here.")
    )
    (document,) = read_document(pdf.page().write(tmp_path / "scan.pdf"))
    assert document.notes == ("pages 2-3, 5 hold no text: a scan or a drawing",)


def test_matplotlibs_pages_are_read(tmp_path):
    """A writer of another make, with embedded fonts and compressed streams."""
    from matplotlib.backends.backend_pdf import PdfPages
    from matplotlib.figure import Figure

    with PdfPages(tmp_path / "figure.pdf") as pages:
        for word in ("first", "second"):
            figure = Figure()
            figure.text(0.1, 0.5, f"The {word} page says this.")
            pages.savefig(figure)
    (document,) = read_document(tmp_path / "figure.pdf")
    blocks = [block for section in document.sections for block in section.blocks]
    assert [(b.text, b.page) for b in blocks] == [
        ("The first page says this.", 1),
        ("The second page says this.", 2),
    ]


def test_faults_say_what_to_do(tmp_path):
    pdf = TinyPdf().page().text(60, 60, "Secret.")
    with pytest.raises(InputError, match=r"locked\.pdf: encrypted: decrypt it") as caught:
        read_document(pdf.write(tmp_path / "locked.pdf", encrypted=True))
    assert "\n" not in str(caught.value)
    (tmp_path / "broken.pdf").write_bytes(b"%PDF-1.4\nnothing more")
    with pytest.raises(InputError, match=r"broken\.pdf: broken"):
        read_document(tmp_path / "broken.pdf")
    with pytest.raises(InputError, match=r"no page holds text: run OCR"):
        read_document(TinyPdf().page().write(tmp_path / "scan.pdf"))


def test_words_of_a_tight_line_stay_apart(tmp_path):
    """TeX writes no spaces, and leaves but a fifth of the letters' size in a tight line."""
    pdf = TinyPdf().page()
    left = 72.0
    for word in ("If", "the", "flag", "is", "set", "then", "padding", "is", "ignored"):
        pdf.text(left, 100, word, font="mono")
        left += 6.0 * len(word) + 2.2  # Courier's letters are 0.6 of their size wide.
    path = tmp_path / "tight.pdf"
    pdf.write(path)
    (document,) = read_document(path)
    assert "If the flag is set then padding is ignored" in document.sections[0].text
