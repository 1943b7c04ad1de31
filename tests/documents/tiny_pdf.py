"""PDFs of a few operators, so that tests know each letter's place."""

from dataclasses import dataclass, field

FONTS = {"plain": "Helvetica", "bold": "Helvetica-Bold", "mono": "Courier"}
HEIGHT = 842


@dataclass
class TinyPdf:
    """Pages of text and ruled lines, with bookmarks.

    Attributes
    ----------
    title : str
    pages : list of list of str
        Operators of each page.
    bookmarks : list of tuple
        Level from 1, words, page from 1.
    """

    title: str = ""
    pages: list = field(default_factory=list)
    bookmarks: list = field(default_factory=list)

    def page(self):
        self.pages.append([])
        return self

    def text(self, x, top, words, size=10, font="plain"):
        escaped = words.replace("\\", r"\\").replace("(", r"\(").replace(")", r"\)")
        y = HEIGHT - top - size
        self.pages[-1].append(f"BT /{font} {size} Tf {x} {y} Td ({escaped}) Tj ET")
        return self

    def lines(self, x, top, lines, size=10, font="plain", pitch=None):
        for i, line in enumerate(lines):
            self.text(x, top + i * (pitch or 1.2 * size), line, size, font)
        return self

    def table(self, x, top, rows, width=120, height=18):
        columns = max(map(len, rows))
        for i in range(len(rows) + 1):
            y = HEIGHT - top - i * height
            self.pages[-1].append(f"{x} {y} m {x + columns * width} {y} l S")
        for k in range(columns + 1):
            left = x + k * width
            self.pages[-1].append(
                f"{left} {HEIGHT - top} m {left} {HEIGHT - top - len(rows) * height} l S"
            )
        for i, row in enumerate(rows):
            for k, cell in enumerate(row):
                self.text(x + k * width + 4, top + i * height + 4, cell)
        return self

    def write(self, path, *, encrypted=False):
        objects = ["", "", ""]  # Catalogue, page tree and information come last.

        def add(body):
            objects.append(body)
            return len(objects)

        fonts = {
            key: add(
                f"<< /Type /Font /Subtype /Type1 /BaseFont /{name} /Encoding /WinAnsiEncoding >>"
            )
            for key, name in FONTS.items()
        }
        resources = " ".join(f"/{key} {number} 0 R" for key, number in fonts.items())
        pages = []
        for operators in self.pages:
            stream = "\n".join(operators)
            size = len(stream.encode("cp1252"))
            content = add(f"<< /Length {size} >>\nstream\n{stream}\nendstream")
            pages.append(
                add(
                    f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 {HEIGHT}] "
                    f"/Resources << /Font << {resources} >> >> /Contents {content} 0 R >>"
                )
            )
        outline = self._outline(objects, pages)
        objects[0] = f"<< /Type /Catalog /Pages 2 0 R {outline} >>"
        kids = " ".join(f"{page} 0 R" for page in pages)
        objects[1] = f"<< /Type /Pages /Kids [{kids}] /Count {len(pages)} >>"
        objects[2] = f"<< /Title ({self.title}) >>"
        out, places = b"%PDF-1.4\n", []
        for number, body in enumerate(objects, start=1):
            places.append(len(out))
            out += f"{number} 0 obj\n{body}\nendobj\n".encode("cp1252")
        start = len(out)
        out += f"xref\n0 {len(objects) + 1}\n0000000000 65535 f \n".encode()
        out += "".join(f"{place:010d} 00000 n \n" for place in places).encode()
        # No password gives these keys.
        lock = (
            f"/Encrypt << /Filter /Standard /V 1 /R 2 /O <{'1f' * 32}> /U <{'2e' * 32}> /P -4 >> "
            f"/ID [<{'00' * 16}> <{'00' * 16}>]"
            if encrypted
            else ""
        )
        out += (
            f"trailer << /Size {len(objects) + 1} /Root 1 0 R /Info 3 0 R {lock} >>\n"
            f"startxref\n{start}\n%%EOF\n"
        ).encode()
        path.write_bytes(out)
        return path

    def _outline(self, objects, pages):
        if not self.bookmarks:
            return ""
        first = len(objects) + 1
        own = [first + 1 + i for i in range(len(self.bookmarks))]
        parents, above = [], {0: first}
        for (level, _, _), number in zip(self.bookmarks, own, strict=True):
            parents.append(above[level - 1])
            above[level] = number
        children = {}
        for number, parent in zip(own, parents, strict=True):
            children.setdefault(parent, []).append(number)
        ends = f"/First {children[first][0]} 0 R /Last {children[first][-1]} 0 R"
        objects.append(f"<< /Type /Outlines {ends} >>")
        for (_, words, page), number, parent in zip(self.bookmarks, own, parents, strict=True):
            beside = children[parent]
            at = beside.index(number)
            links = f"/Next {beside[at + 1]} 0 R " if at + 1 < len(beside) else ""
            if number in children:
                below = children[number]
                links += f"/First {below[0]} 0 R /Last {below[-1]} 0 R "
            objects.append(
                f"<< /Title ({words}) /Parent {parent} 0 R {links}"
                f"/Dest [{pages[page - 1]} 0 R /XYZ 0 {HEIGHT} 0] >>"
            )
        return f"/Outlines {first} 0 R"
