"""Word files that python-docx writes: numbers, tables, lists, tracked changes, faults."""

import zipfile
from io import BytesIO

import docx
import pytest
from docx.enum.style import WD_STYLE_TYPE
from docx.oxml import parse_xml
from docx.oxml.ns import nsdecls, qn

from rfplatform.documents import docx as reader
from rfplatform.documents.numbering import letter, numbering_of, roman
from rfplatform.documents.read import read_document
from rfplatform.errors import InputError


def xml(body):
    return parse_xml(f"<w:x {nsdecls('w')}>{body}</w:x>")[0]


def levels(*given):
    """Levels of a list: format, text, and more XML."""
    return "".join(
        f'<w:lvl w:ilvl="{i}"><w:start w:val="1"/><w:numFmt w:val="{kind}"/>'
        f'{more}<w:lvlText w:val="{text}"/></w:lvl>'
        for i, (kind, text, more) in enumerate(given)
    )


def set_numbering(word, abstracts, nums):
    part = word.part.numbering_part
    root = part.element
    for child in list(root):
        root.remove(child)
    for key, body in abstracts.items():
        root.append(xml(f'<w:abstractNum w:abstractNumId="{key}">{body}</w:abstractNum>'))
    for key, (abstract, body) in nums.items():
        root.append(
            xml(f'<w:num w:numId="{key}"><w:abstractNumId w:val="{abstract}"/>{body}</w:num>')
        )


def number(paragraph, list_id, level):
    paragraph._p.get_or_add_pPr().append(
        xml(f'<w:numPr><w:ilvl w:val="{level}"/><w:numId w:val="{list_id}"/></w:numPr>')
    )
    return paragraph


def saved(word, path):
    word.save(path)
    (document,) = read_document(path)
    return document


def test_literal_numbers_as_3gpp_writes_them(tmp_path):
    word = docx.Document()
    word.core_properties.title = "3GPP TS 38.999"
    word.add_paragraph("3GPP TS 38.999 V18.3.0 (2024-09)")
    word.styles.add_style("TT", WD_STYLE_TYPE.PARAGRAPH)
    word.styles.add_style("toc 1", WD_STYLE_TYPE.PARAGRAPH)
    code = word.styles.add_style("PL", WD_STYLE_TYPE.PARAGRAPH)
    word.add_paragraph("Contents", style="TT")
    word.add_paragraph("1\tScope\t7", style="toc 1")
    word.add_paragraph("Foreword", style="Heading 1")
    word.add_paragraph("1\tScope", style="Heading 1")
    word.add_paragraph("The present document says little.")
    word.add_paragraph("5.3.5a\tVoid", style="Heading 3")
    word.add_paragraph("-\tfirst item;")
    word.add_paragraph("-\tsecond item.")
    word.add_paragraph("Annex A (normative):\nMessages", style="Heading 8")
    word.add_paragraph("A.1\tGeneral", style="Heading 1")
    word.add_paragraph("Msg ::= SEQUENCE {", style=code)
    word.add_paragraph("\tid\tINTEGER", style=code)
    word.add_paragraph("}", style=code)
    document = saved(word, tmp_path / "38999-i30.docx")
    assert (document.title, document.version) == ("3GPP TS 38.999", "18.3.0")
    assert [(s.number, s.title, s.level) for s in document.sections] == [
        ("", "", 1),
        ("", "Foreword", 1),
        ("1", "Scope", 1),
        ("5.3.5a", "Void", 3),
        ("Annex A", "(normative): Messages", 1),
        ("A.1", "General", 2),
    ]
    assert document.sections[3].text == "- first item;\n- second item."
    assert document.sections[5].parents == ("Annex A (normative): Messages",)
    (listing,) = document.sections[5].blocks
    assert (listing.kind, listing.text) == ("code", "Msg ::= SEQUENCE {\n    id    INTEGER\n}")
    assert "Contents" not in "".join(s.text for s in document.sections)


def test_words_own_numbers(tmp_path):
    """Headings by style, an annex of its own list, restarts, bullets and letters."""
    word = docx.Document()
    heads = [
        ("decimal", ".".join(f"%{i + 1}" for i in range(n)), f'<w:pStyle w:val="Heading{n}"/>')
        for n in (1, 2, 3)
    ]
    annexes = [("upperLetter", "Annex %1", ""), ("decimal", "%1.%2", "")]
    items = [("lowerLetter", "%1)", ""), ("lowerRoman", "(%2)", "")]
    set_numbering(
        word,
        {1: levels(*heads), 2: levels(*annexes), 3: levels(*items), 4: levels(("bullet", "*", ""))},
        {
            1: (1, ""),
            2: (2, ""),
            3: (3, ""),
            4: (4, ""),
            5: (3, '<w:lvlOverride w:ilvl="0"><w:startOverride w:val="1"/></w:lvlOverride>'),
        },
    )  # fmt: skip
    for n in (1, 2, 3):
        style = word.styles[f"Heading {n}"].element
        style.get_or_add_pPr().append(xml('<w:numPr><w:numId w:val="1"/></w:numPr>'))
    for level, title in ((1, "Scope"), (1, "Planes"), (2, "General"), (2, "C-plane"), (3, "Timing"),
                         (3, "Delay"), (2, "U-plane"), (3, "IQ"), (1, "End")):  # fmt: skip
        word.add_heading(title, level)
    number(word.add_paragraph("alpha"), 3, 0)
    number(word.add_paragraph("beta"), 3, 1)
    number(word.add_paragraph("gamma"), 3, 0)
    number(word.add_paragraph("delta"), 5, 0)
    word.add_paragraph("Between.")
    number(word.add_paragraph("point"), 4, 0)
    number(word.add_heading("Examples", 1), 2, 0)
    number(word.add_heading("First", 2), 2, 1)
    number(word.add_heading("Not counted", 1), 0, 0)
    document = saved(word, tmp_path / "O-RAN.WG4.CUS.0-R003-v14.00.docx")
    assert document.version == "R003-v14.00"
    assert [s.heading for s in document.sections] == [
        "1 Scope", "2 Planes", "2.1 General", "2.2 C-plane", "2.2.1 Timing", "2.2.2 Delay",
        "2.3 U-plane", "2.3.1 IQ", "3 End", "Annex A Examples", "A.1 First", "Not counted",
    ]  # fmt: skip
    assert [s.level for s in document.sections] == [1, 1, 2, 2, 3, 3, 2, 3, 1, 1, 2, 1]
    assert document.sections[5].parents == ("2 Planes", "2.2 C-plane")
    assert [b.text for b in document.sections[8].blocks] == [
        "a) alpha\n(i) beta\nb) gamma\na) delta",
        "Between.",
        "- point",
    ]


def test_tables_keep_their_order_and_their_merged_cells(tmp_path):
    word = docx.Document()
    word.add_paragraph("Before.")
    table = word.add_table(rows=4, cols=3)
    for r in range(4):
        for c in range(3):
            table.cell(r, c).text = f"r{r}c{c}"
    table.cell(0, 1).merge(table.cell(0, 2)).text = "wide"
    table.cell(1, 0).merge(table.cell(2, 0)).text = "tall"
    table.cell(3, 2).text = "a|b\nc"
    word.add_paragraph("After.")
    frame = word.add_table(rows=1, cols=1)
    frame.cell(0, 0).text = "In a frame."
    document = saved(word, tmp_path / "tables.docx")
    (section,) = document.sections
    assert [b.kind for b in section.blocks] == ["text", "table", "text", "text"]
    assert section.blocks[1].text.split("\n") == [
        "| r0c0 | wide |  |",
        "| --- | --- | --- |",
        "| tall | r1c1 | r1c2 |",
        "| tall | r2c1 | r2c2 |",
        "| r3c0 | r3c1 | a\\|b c |",
    ]
    assert [b.text for b in section.blocks[2:]] == ["After.", "In a frame."]


def test_changes_are_read_as_accepted(tmp_path):
    word = docx.Document()
    paragraph = word.add_paragraph("Kept ")._p
    for mark, tag, words in (
        ("del", "delText", "gone "),
        ("moveFrom", "t", "moved "),
        ("ins", "t", "added"),
    ):
        paragraph.append(
            xml(f'<w:{mark} w:id="1" w:author="x"><w:r><w:{tag}>{words}</w:{tag}></w:r></w:{mark}>')
        )
    body = word.element.body
    body.insert(
        1,
        xml(
            "<w:sdt><w:sdtContent><w:p><w:r><w:t>In a control.</w:t></w:r></w:p>"
            "</w:sdtContent></w:sdt>"
        ),
    )
    body.insert(
        2,
        xml(
            '<w:sdt><w:sdtPr><w:docPartObj><w:docPartGallery w:val="Table of Contents"/>'
            "</w:docPartObj></w:sdtPr><w:sdtContent><w:p><w:r><w:t>1 Scope 7</w:t></w:r></w:p>"
            "</w:sdtContent></w:sdt>"
        ),
    )
    document = saved(word, tmp_path / "changes.docx")
    assert document.sections[0].text == "Kept added\n\nIn a control."


def test_lists_linked_by_style_and_legal_numbers():
    root = parse_xml(
        f"<w:numbering {nsdecls('w')}>"
        '<w:abstractNum w:abstractNumId="1"><w:styleLink w:val="Own"/>'
        + levels(("upperRoman", "%1", ""), ("decimal", "%1.%2", "<w:isLgl/>"))
        + '</w:abstractNum><w:abstractNum w:abstractNumId="2"><w:numStyleLink w:val="Own"/>'
        '</w:abstractNum><w:num w:numId="7"><w:abstractNumId w:val="2"/></w:num></w:numbering>'
    )
    numbering = numbering_of(root)
    shown = [numbering.next("7", level) for level in (0, 0, 0, 0, 1, 1, 0, 1)]
    assert shown == ["I", "II", "III", "IV", "4.1", "4.2", "V", "5.1"]
    assert numbering.next("8", 0) == ""


def test_letters_and_numerals_against_known_ones():
    assert [letter(n) for n in (1, 26, 27, 28, 53)] == ["a", "z", "aa", "bb", "aaa"]
    known = {1: "i", 4: "iv", 9: "ix", 14: "xiv", 40: "xl", 90: "xc", 1994: "mcmxciv"}
    assert {n: roman(n) for n in known} == known


def test_faults_say_what_to_do(tmp_path, monkeypatch):
    (tmp_path / "locked.docx").write_bytes(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600))
    with pytest.raises(InputError, match=r"locked\.docx: encrypted.*remove the password"):
        read_document(tmp_path / "locked.docx")
    (tmp_path / "text.docx").write_bytes(b"plain words")
    with pytest.raises(InputError, match=r"text\.docx: no Word document .*save it as \.docx"):
        read_document(tmp_path / "text.docx")
    with zipfile.ZipFile(tmp_path / "zip.docx", "w") as archive:
        archive.writestr("words.txt", "words")
    with pytest.raises(InputError, match=r"zip\.docx: no Word document"):
        read_document(tmp_path / "zip.docx")
    with zipfile.ZipFile(tmp_path / "bomb.docx", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("word/document.xml", bytes(3_000_000))
    assert (tmp_path / "bomb.docx").stat().st_size < 10_000
    monkeypatch.setattr(reader, "MOST_PART_BYTES", 1_000_000)
    with pytest.raises(InputError, match=r"bomb\.docx: unpacks to 3 MB"):
        read_document(tmp_path / "bomb.docx")


def test_entities_of_a_hostile_file_are_not_expanded(tmp_path):
    buffer = BytesIO()
    docx.Document().save(buffer)
    evil = (
        '<?xml version="1.0"?><!DOCTYPE d [<!ENTITY f SYSTEM "file:///etc/hostname">]>'
        f'<w:document xmlns:w="{qn("w:p")[1:].split("}")[0]}"><w:body><w:p><w:r><w:t>seen &f;</w:t>'
        "</w:r></w:p></w:body></w:document>"
    )
    path = tmp_path / "evil.docx"
    with zipfile.ZipFile(buffer) as source, zipfile.ZipFile(path, "w") as target:
        for item in source.infolist():
            data = evil if item.filename == "word/document.xml" else source.read(item)
            target.writestr(item, data)
    (document,) = read_document(path)
    assert document.sections[0].text == "seen"
