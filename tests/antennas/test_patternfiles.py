"""Pattern files: what is read, what is refused and where, and the round trip."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rfplatform.antennas import (
    Cut,
    CutPattern,
    antenna,
    example_panel,
    read_msi,
    read_nsma,
    read_pattern,
    resolved,
    write_msi,
)
from rfplatform.errors import InputError

ROWS_H = [f"{a} {abs((a + 180) % 360 - 180) / 6:.2f}" for a in range(360)]
# Main lobe 4 degrees down.
ROWS_V = [f"{a} {min(abs((a - 4 + 180) % 360 - 180), 30)}.0" for a in range(360)]
HEAD = [
    "NAME Panel A",
    "MAKE Us",
    "FREQUENCY 1710-2170",
    "H_WIDTH 36",
    "V_WIDTH 6.0",
    "FRONT_TO_BACK 30",
    "GAIN 15.5 dBd",
    "TILT ELECTRICAL",
    "ELECTRICAL_TILT 4",
    "COMMENT one",
    "COMMENT two, with a comma",
]


def msi(head=HEAD, horizontal=ROWS_H, vertical=ROWS_V, h="HORIZONTAL 360", v="VERTICAL 360"):
    return [*head, h, *horizontal, v, *vertical]


@pytest.fixture
def write(tmp_path):
    def put(lines, name="a.msi", encoding="utf-8", ends="\n"):
        path = tmp_path / name
        path.write_bytes(
            lines if isinstance(lines, bytes) else (ends.join(lines) + ends).encode(encoding)
        )
        return path

    return put


def test_msi_is_read_with_its_conventions(write):
    pattern = read_msi(write(msi()))
    assert (pattern.name, pattern.make, pattern.frequency_mhz) == ("Panel A", "Us", (1710, 2170))
    assert pattern.gain_dbi_max == pytest.approx(17.65)
    assert pattern.electrical_tilt_deg == 4
    assert pattern.comments == ("one", "two, with a comma")
    assert (pattern.horizontal_width_deg, pattern.front_to_back_db) == (36, 30)
    # 94 degrees of zenith angle are 4 below the horizon.
    down, up = np.radians([94.0, 86.0])
    assert pattern.gain_dbi(down, 0.0) == pytest.approx(17.65)
    assert pattern.gain_dbi(up, 0.0) == pytest.approx(17.65 - 8)


def test_horizontal_angles_are_clockwise(write):
    rows = [f"{a} {10 if 0 < a < 180 else 0}" for a in range(360)]
    pattern = read_msi(write(msi(horizontal=rows)))
    right, left = np.radians([-90.0, 90.0])
    theta = np.radians(94.0)
    assert pattern.gain_dbi(theta, left) - pattern.gain_dbi(theta, right) == pytest.approx(10)


@pytest.mark.parametrize(
    ("text", "gain_dbi"),
    [("15.5", 17.65), ("15.5dBi", 15.5), ("15,5 dBi", 15.5), ("15.5 (dBd)", 17.65),
     ("-2 dBi", -2.0), ("0 dBd", 2.15)],
)  # fmt: skip
def test_gain_units(write, text, gain_dbi):
    head = [line if not line.startswith("GAIN") else f"GAIN {text}" for line in HEAD]
    assert read_msi(write(msi(head))).gain_dbi_max == pytest.approx(gain_dbi)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252", "latin-1"])
@pytest.mark.parametrize("ends", ["\n", "\r\n", "\r"])
def test_encodings_and_line_ends(write, encoding, ends):
    lines = msi(["NAME Fläche °", *HEAD[1:]])
    pattern = read_msi(write(lines, encoding=encoding, ends=ends))
    assert pattern == replace(read_msi(write(msi(), "b.pln")), name="Fläche °")


def test_decimal_commas_tabs_a_nameless_first_line_and_a_closing_360(write):
    rows = [row.replace(".", ",").replace(" ", "\t") for row in [*ROWS_H, "360 0.0"]]
    lines = msi(["Panel A", *HEAD[1:]], rows, h="Horizontal 361")
    assert read_msi(write(lines)) == read_msi(write(msi(), "b.msi"))


def without(rows, index):
    return [row for i, row in enumerate(rows) if i != index]


def changed(rows, index, row):
    return [row if i == index else old for i, old in enumerate(rows)]


FAULTS = {
    "missing angle": (msi(horizontal=without(ROWS_H, 90)), "line 372: HORIZONTAL has 359 rows"),
    "missing angle named": (msi(horizontal=without(ROWS_H, 90)), "angle 90 is missing"),
    "missing angle, count adjusted": (
        msi(horizontal=without(ROWS_H, 90), h="HORIZONTAL 359"),
        "line 103: HORIZONTAL angle 90 is missing before 91",
    ),
    "last angle missing": (
        msi(horizontal=ROWS_H[:-2], h="HORIZONTAL 358"), "angle 358 is missing"
    ),
    "too many rows": (msi(h="HORIZONTAL 359"), "line 372: HORIZONTAL has more rows than the 359"),
    "no keyword": ([*HEAD, *ROWS_H], "line 12: '0 0.00' stands outside a cut"),
    "no count": (msi(h="HORIZONTAL"), "line 12: HORIZONTAL needs its number of rows"),
    "count no number": (msi(v="VERTICAL all"), "line 373: VERTICAL needs its number"),
    "twice": (msi(horizontal=changed(ROWS_H, 5, "4 1.0")), "line 18: HORIZONTAL angle 4 is there"),
    "order": (msi(horizontal=changed(ROWS_H, 5, "3 1.0")), "line 18: HORIZONTAL angle 3 is out"),
    "negative attenuation": (
        msi(horizontal=changed(ROWS_H, 5, "5 -1.0")),
        "line 18: HORIZONTAL attenuation -1 dB is negative",
    ),
    "garbage": (msi(horizontal=changed(ROWS_H, 5, "5 1.o")), "line 18: HORIZONTAL attenuation '1."),
    "nan": (msi(horizontal=changed(ROWS_H, 5, "5 nan")), "'nan' is not a number"),
    "three cells": (msi(horizontal=changed(ROWS_H, 5, "5 1 2")), "line 18: '5 1 2' is not an"),
    "negative gain": ([*HEAD[:6], "GAIN -3", *msi([])], "line 7: GAIN '-3' is negative"),
    "absurd gain": ([*HEAD[:6], "GAIN 155 dBi", *msi([])], "line 7: gain 155 dBi: must lie in"),
    "gain no number": ([*HEAD[:6], "GAIN high", *msi([])], "line 7: GAIN 'high': give a number"),
    "no gain": (msi(HEAD[:6]), "without GAIN"),
    "no vertical": ([*HEAD, "HORIZONTAL 360", *ROWS_H], "without the VERTICAL section"),
    "no cuts": (HEAD, "without the HORIZONTAL section and the VERTICAL section"),
    "frequency": (["NAME a", "FREQUENCY high", *msi(HEAD[3:])], "line 2: FREQUENCY 'high'"),
    "tilt": (["NAME a", "ELECTRICAL_TILT some", *msi(HEAD[3:7])], "line 2: ELECTRICAL_TILT 'some'"),
    "empty": (b"", "line 1: empty"),
    "blank": (b"\r\n\r\n", "line 1: empty"),
    "binary": (b"NAME a\n\x00\x01\x02", "line 2: not text"),
    "mixed": (b"NAME \xc3\xa4\nMAKE \xe4\n", "line 2: mixed encodings"),
    "mixed, other way": (b"NAME \xe4\nMAKE \xc3\xa4\n", "line 2: mixed encodings"),
    "undecodable": (b"NAME a\nMAKE \x81\n", "line 2: neither UTF-8 nor Windows-1252"),
    "half utf-16": (b"\xff\xfeN", "begins as UTF-16"),
    "huge": (b"NAME a\n" * 800_000, "6 MB, more than"),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_a_malformed_file_gets_one_line_that_says_where(write, fault):
    lines, message = FAULTS[fault]
    path = write(lines)
    with pytest.raises(InputError) as error:
        read_pattern(path)
    text = str(error.value)
    assert text.startswith(f"{path}: ")
    assert message in text
    assert "\n" not in text


def test_a_missing_file_and_a_folder_are_refused(tmp_path):
    with pytest.raises(InputError, match="no such antenna file"):
        read_pattern(tmp_path / "none.msi")
    (tmp_path / "folder.msi").mkdir()
    with pytest.raises(InputError, match="can't be read"):
        read_pattern(tmp_path / "folder.msi")


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=300) | st.text(max_size=300).map(str.encode))
def test_any_bytes_are_read_or_refused_in_one_line(tmp_path_factory, data):
    for name in ("any.msi", "any.adf"):
        path = tmp_path_factory.getbasetemp() / name
        path.write_bytes(data)
        reader = read_msi if name.endswith("msi") else read_nsma
        with pytest.raises(InputError) as error:
            reader(path)
        assert "\n" not in str(error.value)


names = st.text(st.characters(codec="utf-8", categories=["L", "N", "P"]), max_size=12)
levels = st.lists(st.integers(0, 40_000), min_size=36, max_size=36)


@settings(max_examples=40, deadline=None)
@given(names, names, st.lists(names, max_size=3), st.floats(-20, 40), levels, levels,
       st.none() | st.integers(-10, 20), st.sampled_from(["V", "H", "+45", "-45"]))  # fmt: skip
def test_what_is_written_reads_back_the_same(
    tmp_path_factory, name, make, comments, gain, horizontal, vertical, tilt, polarization
):
    angles = tuple(float(a) for a in range(0, 360, 10))
    pattern = CutPattern(
        round(gain, 2),
        Cut(angles, tuple(v / 1000 for v in horizontal)),
        Cut(angles, tuple(v / 1000 for v in vertical)),
        name=name,
        make=make,
        frequency_mhz=(1710.0, 2170.5),
        electrical_tilt_deg=None if tilt is None else float(tilt),
        polarization=polarization,
        horizontal_width_deg=65.5,
        comments=tuple(comments),
    )
    path = tmp_path_factory.getbasetemp() / "round.msi"
    write_msi(pattern, path)
    assert read_msi(path) == pattern
    assert b"\r\n" in path.read_bytes()


def test_a_comment_of_two_lines_is_not_written(tmp_path):
    pattern = replace(example_panel(), comments=("a\nb",))
    with pytest.raises(InputError, match="can't be written"):
        write_msi(pattern, tmp_path / "a.msi")
    assert not list(tmp_path.iterdir())


# --- NSMA -------------------------------------------------------------------------------------


def section(kind, peak_deg, polarization="V/V", offset=0.0, phase=False, steps=range(-180, 180)):
    rows = [
        f"{a},{offset - min(abs((a - peak_deg + 180) % 360 - 180), 30)}{',12.5' if phase else ''}"
        for a in steps
    ]
    return [
        f"PATCUT:,{kind}", f"POLARI:,{polarization}", f"NUPOIN:,{len(rows)}",
        f"FSTLST:,{steps[0]},{steps[-1]}", "XORIEN:,", "YORIEN:,", *rows,
    ]  # fmt: skip


def adf(*sections, units="DBD/DBR", tilt="4", end=("ENDFIL:,EOF",)):
    sections = sections or (section("AZ", 0), section("EL", -4))
    # XORIEN and YORIEN stand before FSTLST in some files and after it in others.
    ordered = []
    for part in sections:
        ordered += [*part[:3], *part[4:6], part[3], *part[6:]]
    return [
        "REVNUM:,TIA/EIA-804-B", "REVDAT:,19990520", "COMNT1:,a comment", "ANTMAN:,Us",
        "MODNUM:,Panel A", "DESCR1:,described", "LOWFRQ:,1710", "HGHFRQ:,2170",
        f"GUNITS:,{units}", "LWGAIN:,", "MDGAIN:,15.5,0.5", "AZWIDT:,6,1", "ELWIDT:,6",
        f"ELTILT:,{tilt}", "PATTYP:,Typical", "NOFREQ:,1", "PATFRE:,1940 ! mid band",
        f"NUMCUT:,{len(sections)}", *ordered, *end,
    ]  # fmt: skip


@pytest.mark.parametrize("phase", [False, True])
def test_nsma_is_read(write, phase):
    lines = adf(section("AZ", 0, phase=phase), section("EL", -4, phase=phase))
    pattern = read_pattern(write(lines, "a.adf", ends="\r\n"))
    assert (pattern.name, pattern.make) == ("Panel A", "Us")
    assert pattern.gain_dbi_max == pytest.approx(17.65)
    assert pattern.frequency_mhz == (1710, 2170)
    assert pattern.comments == ("a comment", "described")
    assert pattern.electrical_tilt_deg == 4
    assert pattern.remarks == ()
    assert pattern.gain_dbi(np.radians(94), 0.0) == pytest.approx(17.65)
    # The azimuth is clockwise: 10 degrees to the right.
    right = adf(section("AZ", 10), section("EL", -4))
    pattern = read_nsma(write(right, "b.adf"))
    assert pattern.gain_dbi(np.radians(94), np.radians(-10)) == pytest.approx(17.65)


def test_nsma_elevations_that_count_downwards_are_noticed_by_the_stated_tilt(write):
    pattern = read_nsma(write(adf(section("AZ", 0), section("EL", 4)), "a.adf"))
    assert pattern.gain_dbi(np.radians(94), 0.0) == pytest.approx(17.65)
    assert "count downwards" in pattern.remarks[0]
    up = read_nsma(write(adf(section("AZ", 0), section("EL", 4), tilt="0"), "b.adf"))
    assert up.gain_dbi(np.radians(86), 0.0) == pytest.approx(17.65)


def test_nsma_takes_the_copolar_cuts_and_levels_in_dbi(write):
    lines = adf(
        section("AZ", 90, "V/H"), section("EL", 60, "V/H"),
        section("AZ", 0, offset=17.0), section("EL", -4, offset=17.0), units="DBI/DBI",
    )  # fmt: skip
    pattern = read_nsma(write(lines, "a.adf"))
    assert pattern.gain_dbi_max == 17.0
    assert pattern.gain_dbi(np.radians(94), 0.0) == pytest.approx(17.0)


NSMA_FAULTS = {
    "no end": (adf(end=()), "without ENDFIL"),
    "short cut": (adf(section("AZ", 0)[:-3], section("EL", -4)), "has 357 rows where NUPOIN says"),
    "long cut": (
        [*adf()[:-1], "180,0", "ENDFIL:,EOF"], "(more rows than NUPOIN says); correct it"
    ),
    "ends": (
        [line.replace("FSTLST:,-180,179", "FSTLST:,-179,180") for line in adf()],
        "FSTLST '-179,180', but the rows go from -180 to 179",
    ),
    "no elevation": (adf(section("AZ", 0)), "no azimuth (AZ) and elevation (EL) cut"),
    "cross-polar only": (
        adf(section("AZ", 0, "V/H"), section("EL", 0, "V/H")), "of one co-polarization"
    ),
    "above the gain": (adf(section("AZ", 0, offset=2.0), section("EL", 0)), "above the gain"),
    "units": (adf(units="WATT"), "GUNITS 'WATT'"),
    "no gain": ([li for li in adf() if not li.startswith("MDGAIN")], "MDGAIN is lacking"),
    "garbage": ([li.replace("5,-5", "5,x") for li in adf()], "level 'x.0' is not a number"),
}  # fmt: skip


@pytest.mark.parametrize("fault", NSMA_FAULTS)
def test_a_malformed_nsma_file_gets_one_line_that_says_where(write, fault):
    lines, message = NSMA_FAULTS[fault]
    with pytest.raises(InputError, match=r": line \d+: ") as error:
        read_pattern(write(lines, "a.adf"))
    assert message in str(error.value)
    assert "\n" not in str(error.value)


# --- one text names any antenna ---------------------------------------------------------------


def test_files_are_named_by_their_path_and_read_again_when_changed(write, tmp_path):
    path = write(msi())
    text = resolved("a.msi", tmp_path)
    assert text == str(path.resolve())
    assert antenna(text) is antenna(text)
    assert antenna(text).gain_dbi_max == pytest.approx(17.65)
    write([line.replace("15.5 dBd", "16.125 dBi") for line in msi()])
    assert antenna(text).gain_dbi_max == 16.125
    with pytest.raises(InputError, match="no such antenna file"):
        resolved("b.msi", tmp_path)


def test_the_shipped_panel_is_the_computed_one():
    from pathlib import Path

    path = Path(__file__).parents[2] / "data" / "antennas" / "panel-65deg-18dbi.msi"
    assert read_msi(path) == example_panel()


@pytest.mark.parametrize(("text", "remarked"), [("CIRCULAR", True), ("VERTICAL", False)])
def test_a_polarization_that_cant_be_traced_is_remarked(tmp_path, text, remarked):
    rows = "".join(f"{angle} 0\n" for angle in range(360))
    path = tmp_path / "round.msi"
    path.write_text(
        f"NAME round\nFREQUENCY 2000\nGAIN 5 dBi\nPOLARIZATION {text}\n"
        f"HORIZONTAL 360\n{rows}VERTICAL 360\n{rows}"
    )
    pattern = read_msi(path)
    assert pattern.polarization == "V"
    assert any("traced as vertical" in remark for remark in pattern.remarks) == remarked
