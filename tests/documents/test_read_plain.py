"""Plain text, YANG, ASN.1 and JSON lines."""

import gzip
import json
import sys
from pathlib import Path

import pytest

from rfplatform.documents.asn1 import read_asn1
from rfplatform.documents.licence import licence_in
from rfplatform.documents.read import read_document, read_documents
from rfplatform.documents.text import decoded, read_text
from rfplatform.documents.version import version_in_name, version_on_cover
from rfplatform.documents.yang import read_yang
from rfplatform.errors import InputError

MODULES = Path(sys.prefix) / "share/yang/modules"

RFC = """\
Network Working Group                                         A. Nobody
Request for Comments: 9999                                    June 2026

Title of It All

Table of Contents

   1.  Introduction  . . . . . . . . . . . . . . . . . . . . . . .  2
   2.  Format  . . . . . . . . . . . . . . . . . . . . . . . . . .  2
     2.1.  Header  . . . . . . . . . . . . . . . . . . . . . . . .  2

Nobody                       Informational                    [Page 1]
\f
RFC 9999                     Title of It                     June 2026

1.  Introduction

   Words that are wrapped over two
   lines, and then over the border of the

Nobody                       Informational                    [Page 2]
\f
RFC 9999                     Title of It                     June 2026

   page.

   1. an item, not a heading
   2. another item

2.  Format

2.1.  Header

    0                   1
   +-+-+-+-+-+-+-+-+-+-+-+
   |  Version  |  Length  |
   +-+-+-+-+-+-+-+-+-+-+-+

Nobody                       Informational                    [Page 3]
"""


def test_text_of_the_ietf():
    content = read_text(RFC.encode())
    cover, introduction, form, header = content.sections
    assert (introduction.heading, introduction.level, introduction.page) == ("1 Introduction", 1, 2)
    assert [b.text for b in introduction.blocks] == [
        "Words that are wrapped over two lines, and then over the border of the page.",
        "1. an item, not a heading\n2. another item",
    ]
    assert introduction.blocks[1].page == 3
    assert (form.heading, form.blocks) == ("2 Format", ())
    assert (header.heading, header.level, header.parents) == ("2.1 Header", 2, ("2 Format",))
    assert header.blocks[0].kind == "code"
    assert "|  Version  |  Length  |" in header.text.split("\n")[2]
    assert "Title of It All" in cover.text
    whole = "".join(s.text for s in content.sections)
    assert "Informational" not in whole
    assert ". . ." not in whole


def test_text_of_3gpp():
    text = (
        "3GPP TS 38.999 V17.2.0 (2022-09)\n\nContents\n1\tScope\t5\n2\tReferences\t5\n3\tTerms\t6\n"
        "1\tScope\nThe present document says little.\n2\tReferences\n"
        "-\tReferences are specific.\n-\tOr they are not.\n"
        "[1]\t3GPP TR 21.905: \"Vocabulary\".\n3\tTerms\n3.1\tGeneral\nNothing.\n"
        "Annex A (informative):\nHistory\n"
    )  # fmt: skip
    content = read_text(text.encode())
    assert content.version == "17.2.0"
    assert [s.heading for s in content.sections if s.heading] == [
        "1 Scope", "2 References", "3 Terms", "3.1 General",
    ]  # fmt: skip
    assert content.sections[2].text == (
        '- References are specific.\n- Or they are not.\n[1] 3GPP TR 21.905: "Vocabulary".'
    )


def test_encodings():
    assert decoded("Grüße\r\nb".encode()) == "Grüße\nb"
    assert decoded("Grüße".encode("utf-8-sig")) == "Grüße"
    assert decoded("Grüße".encode("utf-16")) == "Grüße"
    with pytest.raises(InputError, match=r"not UTF-8 text \(byte 0xfc at 2\): convert it"):
        decoded("Grüße".encode("cp1252"))
    with pytest.raises(InputError, match="zero bytes"):
        decoded(b"a\0b")


YANG = """\
module o-ran-things {
  yang-version 1.1;
  namespace "urn:o-ran:things:1.0";
  prefix "o-ran-things";
  import not-here { prefix nh; revision-date 2020-01-01; }
  organization "O-RAN";
  description "This module holds things.

    Redistribution and use in source and binary forms, with or without modification, are
    permitted. Neither the Members of the O-RAN Alliance nor others endorse it.";
  revision 2021-03-22 { description "version 1.1.0"; }
  revision 2023-04-10 { description "version 1.2.0"; }
  nh:annotation x;
  container things {
    description "All things.";
    list thing {
      key "name";
      leaf name { type string { length "1..32"; } description "The thing's
        well-known name."; }
      leaf gain { type decimal64 { fraction-digits 1; } units dB; mandatory true; }
      choice kind { case a { leaf a-leaf { type empty; } } }
    }
  }
  rpc reset { input { leaf force { type boolean; } } }
}
"""


def test_yang():
    content = read_yang(YANG.encode())
    assert (content.title, content.version, content.licence) == (
        "o-ran-things", "2023-04-10", "BSD-3-Clause",
    )  # fmt: skip
    assert [(s.title, s.level) for s in content.sections] == [
        ("module o-ran-things", 1),
        ("container things", 2),
        ("list thing", 3),
        ("choice kind", 4),
        ("case a", 5),
        ("rpc reset", 2),
        ("input", 3),
    ]
    things = content.sections[2]
    assert things.parents == ("module o-ran-things", "container things")
    assert [b.text for b in things.blocks] == [
        "key name",
        "leaf name\nThe thing's well-known name.\ntype string (length 1..32)",
        "leaf gain (units dB; mandatory true)\ntype decimal64 (fraction-digits 1)",
    ]
    assert "nh:annotation x" in content.sections[0].text


def test_yang_faults_name_the_line():
    with pytest.raises(InputError, match=r"line 3: not YANG \("):
        read_yang(b"module x {\n  leaf y {\n  ;;; }\n}\n")
    with pytest.raises(InputError, match='begins with "container"'):
        read_yang(b"container x { }")


def test_the_modules_that_pyang_brings_are_read():
    if not MODULES.is_dir():
        pytest.skip("pyang was installed without its modules")
    documents = list(read_documents([MODULES / "ietf"]))
    assert len(documents) > 40
    interfaces = next(d for d in documents if d.title == "ietf-interfaces")
    assert interfaces.version >= "2018-02-20"
    section = next(s for s in interfaces.sections if s.title == "list interface")
    assert section.parents == ("module ietf-interfaces", "container interfaces")
    assert any(b.text.startswith("leaf oper-status (") for b in section.blocks)


ASN1 = """\
-- Copyright of nobody
E2AP-PDU-Contents { iso(1) e2ap(3) }
DEFINITIONS AUTOMATIC TAGS ::=
BEGIN
IMPORTS Criticality, Presence FROM E2AP-CommonDataTypes;

maxofErrors INTEGER ::= 256
maxofRICfunctionID INTEGER ::= 256 -- a limit

-- ****
-- SETUP REQUEST: ends with ::= in a comment }
-- ****
E2setupRequest ::= SEQUENCE {
    protocolIEs ProtocolIE-Container {{E2setupRequestIEs}},
    ... -- not Fake ::= INTEGER
}
E2setupRequestIEs E2AP-PROTOCOL-IES ::= {
    { ID id-TransactionID CRITICALITY reject TYPE TransactionID PRESENCE mandatory },
    ...
}
Cause ::= ENUMERATED { radio, "}" }
Container {E2AP-PROTOCOL-IES : IEsSetParam} ::= SEQUENCE (SIZE (0..maxofErrors)) OF Cause
END
Other-Module DEFINITIONS ::= BEGIN
Flag ::= BOOLEAN
END
"""


def test_asn1():
    content = read_asn1(ASN1.encode())
    assert content.title == "E2AP-PDU-Contents"
    assert [(s.title, s.level) for s in content.sections] == [
        ("", 1),
        ("E2AP-PDU-Contents", 1),
        ("maxofErrors to maxofRICfunctionID", 2),
        ("E2setupRequest", 2),
        ("E2setupRequestIEs", 2),
        ("Cause", 2),
        ("Container", 2),
        ("Other-Module", 1),
        ("Flag", 2),
    ]
    request = content.sections[3]
    assert request.parents == ("E2AP-PDU-Contents",)
    assert request.text.startswith("-- ****\n-- SETUP REQUEST")
    assert request.text.endswith("not Fake ::= INTEGER\n}")
    assert "a limit" in content.sections[2].text
    # Nothing is lost but empty lines.
    said = "".join(s.text for s in content.sections).replace("\n", "")
    assert said == ASN1.replace("\n", "")


def test_asn1_without_a_module():
    with pytest.raises(InputError, match=r"no ASN\.1 module"):
        read_asn1(b"Just ::= words")


def write_lines(path, *rows):
    data = "\n".join(row if isinstance(row, str) else json.dumps(row) for row in rows).encode()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


@pytest.mark.parametrize("name", ["docs.jsonl", "docs.jsonl.gz"])
def test_json_lines(tmp_path, name):
    path = write_lines(
        tmp_path / name,
        {"source": "o-ran-sc/doc", "path": "a.md", "text": "# One\nwords", "licence": "MIT"},
        "",
        {"path": "b.rst", "text": "Two\n===\nmore", "title": "Given", "version": "3"},
        {"text": "SPDX-License-Identifier: Apache-2.0\n\nplain # words"},
        {"name": "empty", "text": " "},
    )
    documents = read_document(path, licence="CC0-1.0")
    assert [d.name for d in documents] == [
        f"{name}#o-ran-sc/doc/a.md", f"{name}#b.rst", f"{name}#4", f"{name}#empty",
    ]  # fmt: skip
    assert [d.title for d in documents[:2]] == ["One", "Given"]
    assert [d.version for d in documents] == ["", "3", "", ""]
    assert [d.licence for d in documents] == ["MIT", "CC0-1.0", "Apache-2.0", "CC0-1.0"]
    assert [d.sections[0].text for d in documents[:2]] == ["words", "more"]
    assert documents[3].notes == ("holds no text",)
    assert len({d.sha256 for d in documents}) == 1


@pytest.mark.parametrize(
    ("row", "fault"),
    [
        ("[1, 2]", r'line 2 is no JSON object with a string "text"'),
        ('{"text": 7}', r'line 2 is no JSON object with a string "text"'),
        ('{"title": "x"}', r'line 2 is no JSON object with a string "text"'),
        ("{", r"line 2 is no JSON object \("),
        ('{"text": "x", "version": 3}', r'line 2: "version" is no string'),
        ('{"text": "x", "name": "one"}', r'line 2 has the name "one" of line 1'),
    ],
)
def test_json_lines_faults_name_the_line(tmp_path, row, fault):
    path = write_lines(tmp_path / "docs.jsonl", {"text": "fine", "name": "one"}, row)
    with pytest.raises(InputError, match=rf"docs\.jsonl: {fault}") as caught:
        read_document(path)
    assert "\n" not in str(caught.value)


def test_json_lines_that_are_cut_off_or_unpack_to_too_much(tmp_path, monkeypatch):
    path = write_lines(tmp_path / "docs.jsonl.gz", {"text": "words " * 100})
    whole = path.read_bytes()
    path.write_bytes(whole[:-9])
    with pytest.raises(InputError, match=r"broken gzip"):
        read_document(path)
    path.write_bytes(whole)
    monkeypatch.setattr("rfplatform.documents.jsonl.MOST_BYTES", 100)
    with pytest.raises(InputError, match=r"unpacks to more than"):
        read_document(path)


@pytest.mark.parametrize(
    ("name", "version"),
    [
        ("O-RAN.WG4.CUS.0-R003-v14.00.pdf", "R003-v14.00"),
        ("specs/O-RAN.WG3.E2SM-KPM-v03.00.docx", "v03.00"),
        ("38331-i30.docx", "18.3.0"),
        ("38401-f90_s00-05.docx", "15.9.0"),
        ("ts_138331v180300p.pdf", "18.3.0"),
        ("guide-v1.2.md", "v1.2"),
        ("guide.md", ""),
        ("o-ran-uplane-conf.yang", ""),
    ],
)
def test_versions_in_names(name, version):
    assert version_in_name(name) == version


@pytest.mark.parametrize(
    ("cover", "version"),
    [
        ("3GPP TS 38.331 V18.3.0 (2024-09)\nTechnical Specification", "18.3.0"),
        ("O-RAN.WG4.CUS.0-R003-v14.00\nTechnical Specification", "R003-v14.00"),
        ("Guide\nVersion: 1.2\n", "1.2"),
        ("Needs version 1.2 of it", ""),
    ],
)
def test_versions_on_covers(cover, version):
    assert version_on_cover(cover) == version


def test_licences():
    mark = "SPDX-License-" + "Identifier: "
    assert licence_in(f".. {mark}Apache-2.0 OR MIT\n\nText") == "Apache-2.0 OR MIT"
    assert licence_in(f"<!-- {mark}CC-BY-4.0 -->") == "CC-BY-4.0"
    assert licence_in("x" * 10_000 + mark + "MIT") == ""
