"""An antenna to its figures of merit, polar plots and, if wanted, an MSI file."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pipelines.scene import slug
from rfplatform.antennas import (
    Antenna,
    CutPattern,
    Shape,
    antenna,
    is_file,
    measure,
    resolved,
    slant_deg,
    write_msi,
)
from rfplatform.antennas.shape import remarks
from rfplatform.errors import InputError
from rfplatform.formats.polar import PolarCut, write_polar
from rfplatform.staging import require_free, staged

OUT = Path("out") / "antennas"


@dataclass(frozen=True)
class Config:
    """Which antenna, and where its picture goes.

    Attributes
    ----------
    name : str
        A name of the catalog, one with parameters, or a pattern file.
    out : Path, optional
        A ``.png`` file, or the directory for one named after the antenna; by default `OUT`.
    msi : Path, optional
        An MSI file to write, of an antenna that is known by its cuts.
    overwrite : bool
        Replace what is there.
    """

    name: str
    out: Path | None = None
    msi: Path | None = None
    overwrite: bool = False


def main(config: Config) -> dict[str, Any]:
    """Measure and draw an antenna.

    Returns
    -------
    dict
        What was found; lengths of time, paths and numbers as JSON has them, None for what the
        pattern lacks.

    Raises
    ------
    InputError
        If there is no such antenna, the file is broken, or an output exists or can't be written.
    """
    pattern = antenna(resolved(config.name))
    picture = _picture(config)
    require_free(picture, overwrite=config.overwrite)
    if config.msi is not None:
        require_free(config.msi, overwrite=config.overwrite)
        if config.msi.suffix.lower() not in (".msi", ".pln", ".pla"):
            raise InputError(f"--msi {config.msi}: must end in .msi, .pln or .pla")
        if not isinstance(pattern, CutPattern):
            raise InputError(
                f"--msi {config.msi}: {config.name} is a formula, not two cuts; give a pattern file"
            )
    shape = measure(pattern)
    record = _describe(config.name, pattern, shape)
    write_polar(
        PolarCut(
            shape.angle_deg, shape.horizontal_dbi, shape.azimuth_deg, shape.horizontal_width_deg
        ),
        PolarCut(shape.angle_deg, shape.vertical_dbi, shape.tilt_deg, shape.vertical_width_deg),
        picture,
        title=record["name"],
        facts=facts(record),
        comment=(record["comments"] or [""])[0],
        overwrite=config.overwrite,
    )
    outputs = [str(picture)]
    if config.msi is not None and isinstance(pattern, CutPattern):
        with staged(config.msi, config.overwrite) as partial:
            write_msi(replace(pattern, remarks=()), partial)
        outputs.append(str(config.msi))
    return {**record, "outputs": outputs}


def described(name: str) -> dict[str, Any]:
    """What `main` tells of an antenna, with its two cuts, and nothing drawn.

    Returns
    -------
    dict
        And "angle_deg", "horizontal_dbi" (clockwise from boresight) and "vertical_dbi" (downwards
        from the horizon), lists of one length.

    Raises
    ------
    InputError
        If there is no such antenna, or the file is broken.
    """
    pattern = antenna(resolved(name))
    shape = measure(pattern)
    return {
        **_describe(name, pattern, shape),
        "angle_deg": shape.angle_deg.tolist(),
        "horizontal_dbi": shape.horizontal_dbi.tolist(),
        "vertical_dbi": shape.vertical_dbi.tolist(),
    }


def _picture(config: Config) -> Path:
    out = config.out or OUT
    if out.suffix.lower() == ".png":
        return out
    stem = Path(config.name).stem if is_file(config.name) else config.name
    return out / f"{slug(stem)}.png"


def _describe(name: str, pattern: Antenna, shape: Shape) -> dict[str, Any]:
    known = pattern if isinstance(pattern, CutPattern) else None
    return {
        "antenna": name,
        "name": (known.name if known else "") or (Path(name).stem if is_file(name) else name),
        "make": known.make if known else "",
        "frequency_mhz": list(known.frequency_mhz) if known else [],
        "gain_dbi": _rounded(known.gain_dbi_max if known else shape.max_gain_dbi),
        "azimuth_deg": _rounded(shape.azimuth_deg),
        "electrical_tilt_deg": _rounded(shape.tilt_deg),
        "stated_electrical_tilt_deg": known.electrical_tilt_deg if known else None,
        "horizontal_width_deg": _rounded(shape.horizontal_width_deg),
        "vertical_width_deg": _rounded(shape.vertical_width_deg),
        "front_to_back_db": _rounded(shape.front_to_back_db),
        "worst_front_to_back_db": _rounded(shape.worst_front_to_back_db),
        "upper_side_lobe_db": _rounded(shape.upper_side_lobe_db),
        "directivity_dbi": _rounded(shape.directivity_dbi),
        "slant_deg": slant_deg(pattern),
        "comments": list(known.comments) if known else [],
        "warnings": remarks(known, shape) if known else [],
    }


def _rounded(value: float | None) -> float | None:
    # A true null behind has an infinite ratio, which JSON can't hold.
    return None if value is None or abs(value) == float("inf") else round(value, 3)


def facts(record: dict[str, Any]) -> list[tuple[str, str]]:
    """What a designer looks for first, in words, for the terminal and the picture."""
    frequencies = " to ".join(f"{f:g}" for f in record["frequency_mhz"])

    def said(key: str, unit: str, none: str = "none") -> str:
        value = record[key]
        return none if value is None else f"{value:.1f}{unit}".replace("-", "\N{MINUS SIGN}")

    return [
        ("Gain", said("gain_dbi", " dBi")),
        ("Horizontal beam width", said("horizontal_width_deg", "°", "omnidirectional")),
        ("Vertical beam width", said("vertical_width_deg", "°")),
        ("Electrical tilt", said("electrical_tilt_deg", "°")),
        ("Front to back", said("front_to_back_db", " dB")),
        ("Worst within 30° of the back", said("worst_front_to_back_db", " dB")),
        ("Upper side lobe", said("upper_side_lobe_db", " dB")),
        ("Frequency", f"{frequencies} MHz" if frequencies else "not stated"),
    ]
