"""Files that users upload: checked in a limited child process, kept by their hash."""

from __future__ import annotations

import hashlib
import json
import os
import re
import signal
import site
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, BinaryIO

from pipelines.desk.workspace import UPLOADED, Workspace, read_json_file, write_json_file
from rfplatform.errors import InputError, MissingError

CONVERTED = "converted.tif"
"""What the check writes beside an SRTM tile: its own name alone says where it lies."""

_LONGEST_NAME = 80
_LONGEST_ERROR = 500
_CHUNK_BYTES = 1 << 20
_STORED = re.compile(r"[0-9a-f]{16}(\.[a-z]+)+")
_OWN_TEXT = re.compile(rb"upload:(?=[0-9a-f]{16}\.)")
_BLENDER_MITSUBA = (".blend", ".xml")
_CHECK = "pipelines.desk.upload_check"
_SIGNS_OF_NO_MEMORY = (
    "MemoryError",
    "bad_alloc",
    "alloc of size",
    "Cannot allocate",
    "failed to map",
)

# Drivers that read other files, or the network, at the word of the one that is opened.
_SKIPPED_DRIVERS = (
    "VRT,OGR_VRT,GTI,GDALG,HTTP,WMS,WCS,WMTS,WFS,OAPIF,OGCAPI,CSW,STACIT,STACTA,PLSCENES,"
    "PLMOSAIC,EEDA,EEDAI,DAAS,Elasticsearch,Carto,AmigoCloud,NGW,ADBC"
)


@dataclass(frozen=True)
class UploadKind:
    """What may be uploaded as something, and what its check may take.

    Attributes
    ----------
    suffixes : tuple of str
        In lower case, the longest first.
    max_bytes : int
    time_limit_s : float
    memory_limit_bytes : int
    what : str
        In words: "a site list (CSV)".
    """

    suffixes: tuple[str, ...]
    max_bytes: int
    time_limit_s: float
    memory_limit_bytes: int
    what: str


KINDS: Mapping[str, UploadKind] = MappingProxyType(
    {
        "area": UploadKind(
            (
                ".osm.pbf", ".osm.bz2", ".osm.gz", ".geoparquet", ".parquet", ".geojson", ".json",
                ".gpkg", ".osm", ".pbf",
            ),
            200_000_000, 120.0, 3_000_000_000,
            "an area (OpenStreetMap, GeoJSON, GeoPackage or GeoParquet)",
        ),
        "sites": UploadKind((".csv",), 2_000_000, 20.0, 1_000_000_000, "a site list (CSV)"),
        "measurements": UploadKind(
            (".csv",), 100_000_000, 60.0, 3_000_000_000, "a drive test (CSV)"
        ),
        "antenna": UploadKind(
            (".msi", ".pln", ".pla", ".adf"), 5_000_000, 20.0, 1_000_000_000,
            "an antenna pattern (MSI Planet or NSMA)",
        ),
        "terrain": UploadKind(
            (".hgt.zip", ".tiff", ".tif", ".hgt"), 200_000_000, 60.0, 2_000_000_000,
            "an elevation model (GeoTIFF or SRTM)",
        ),
        "jobs": UploadKind(
            (".parquet", ".toml", ".csv"), 2_000_000, 60.0, 2_000_000_000,
            "a list of jobs (CSV, Parquet or TOML)",
        ),
    }
)  # fmt: skip
"""What can be uploaded."""


@dataclass(frozen=True)
class Upload:
    """A file that was uploaded, and is good.

    Attributes
    ----------
    name : str
        The first 16 hexadecimal digits of its SHA-256 and its suffix; its name in
        `Workspace.uploads`.
    text : str
        What names it where a path could stand: "upload:NAME".
    original : str
        What the user called it, to be shown and nothing else.
    kind : str
        Of `KINDS`.
    size : int
        Bytes.
    summary : mapping
        What the check found, see `pipelines.desk.upload_check`.
    """

    name: str
    text: str
    original: str
    kind: str
    size: int
    summary: Mapping[str, Any]


def store_upload(workspace: Workspace, kind: str, original: str, data: bytes | BinaryIO) -> Upload:
    """Check a file and keep it, or leave nothing.

    An SRTM tile is kept as GeoTIFF, and "upload:NAME" in a list of sites or jobs as NAME, which
    is the same file beside it.

    Parameters
    ----------
    workspace : Workspace
    kind : str
        Of `KINDS`.
    original : str
        The user's name of it.
    data : bytes or binary file
        A file is read from its beginning.

    Raises
    ------
    InputError
        In one line that begins with the user's name of the file.
    MissingError
        It can't be kept here: the disk is full.
    """
    about = KINDS[kind]
    name = shown_name(original)
    suffix = _suffix(name, kind)
    try:
        with tempfile.TemporaryDirectory(
            prefix=".part-", dir=workspace.uploads, ignore_cleanup_errors=True
        ) as folder:
            part = Path(folder).resolve() / f"file{suffix}"
            _receive(data, part, about, name, is_text=kind in ("sites", "jobs"))
            stored = _stored_name(part)
            known = _kept(workspace, stored)
            if known is None or known.kind != kind:
                summary = _checked(workspace, kind, part, name)
                converted = part.with_name(CONVERTED)
                if converted.is_file():
                    part, stored = converted, _stored_name(converted)
                size = part.stat().st_size
                part.replace(workspace.uploads / stored)
                known = Upload(stored, UPLOADED + stored, name, kind, size, summary)
            return _recorded(workspace, known, name)
    except OSError as error:
        raise MissingError(f"{name}: can't be kept here ({error.strerror or error})") from error


def find_upload(workspace: Workspace, text: str) -> Upload:
    """The upload that a text names.

    Parameters
    ----------
    workspace : Workspace
    text : str
        "upload:NAME".

    Raises
    ------
    InputError
        If there is none here.
    """
    name = text.removeprefix(UPLOADED)
    found = _kept(workspace, name) if text.startswith(UPLOADED) else None
    if found is None:
        raise InputError(f"{shown_name(text)}: no such upload here; upload the file again")
    return found


def list_uploads(workspace: Workspace, kind: str | None = None) -> list[Upload]:
    """What was uploaded, of one kind or of all, the newest first."""
    records = sorted(
        ((path.stat().st_mtime, path) for path in workspace.uploads.glob("*.*.json")), reverse=True
    )
    found = [_kept(workspace, path.name.removesuffix(".json")) for _, path in records]
    return [upload for upload in found if upload and kind in (None, upload.kind)]


def shown_name(original: str) -> str:
    """A file's name without folders and control characters, short enough to be shown."""
    last = original.replace("\\", "/").rsplit("/", 1)[-1]
    name = " ".join("".join(c for c in last if c.isprintable()).split())
    if len(name) > _LONGEST_NAME:
        end = name[-24:]
        name = f"{name[: _LONGEST_NAME - len(end) - 3]}...{end}"
    return name or "file"


def _suffix(name: str, kind: str) -> str:
    about = KINDS[kind]
    lowered = name.lower()
    for suffix in sorted(about.suffixes, key=len, reverse=True):
        if lowered.endswith(suffix):
            return suffix
    if lowered.endswith(_BLENDER_MITSUBA):
        raise InputError(
            f"{name}: Blender and Mitsuba files can't be uploaded, as they can run programs and "
            "read other files; give it to `rfplatform map` on the command line"
        )
    raise InputError(f"{name}: not {about.what}: its name must end in {', '.join(about.suffixes)}")


def _receive(
    data: bytes | BinaryIO, part: Path, about: UploadKind, name: str, *, is_text: bool
) -> None:
    """Write what comes to a file; no more than its kind may have."""
    size = len(data) if isinstance(data, bytes) else 0
    with part.open("wb") as target:
        if isinstance(data, bytes):
            _require_size(size, about, name)
            target.write(data)
        else:
            data.seek(0)
            while chunk := data.read(_CHUNK_BYTES):
                size += len(chunk)
                _require_size(size, about, name)
                target.write(chunk)
    if not size:
        raise InputError(f"{name}: empty; give {about.what}")
    if is_text and part.suffix != ".parquet":
        # A list lies beside what it names.
        part.write_bytes(_OWN_TEXT.sub(b"", part.read_bytes()))


def _require_size(size: int, about: UploadKind, name: str) -> None:
    if size > about.max_bytes:
        limit = about.max_bytes
        said = f"{limit / 1e6:g} MB" if limit >= 1_000_000 else f"{limit:,} bytes"
        raise InputError(f"{name}: larger than {said}, the most that {about.what} may have")


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _stored_name(path: Path) -> str:
    return _sha256(path)[:16] + path.name[path.name.index(".") :]


def _record(workspace: Workspace, name: str) -> Path:
    return workspace.uploads / f"{name}.json"


def _kept(workspace: Workspace, name: str) -> Upload | None:
    if not _STORED.fullmatch(name) or not (workspace.uploads / name).is_file():
        return None
    found = read_json_file(_record(workspace, name))
    if found is None or found.get("kind") not in KINDS:
        return None
    values = (found.get(of) for of in ("original", "kind", "size", "summary"))
    return Upload(name, UPLOADED + name, *values)  # type: ignore[arg-type]  # as it was written


def _recorded(workspace: Workspace, upload: Upload, original: str) -> Upload:
    """The upload under the name that it came with last, written beside the file."""
    upload = replace(upload, original=original)
    digest = _sha256(workspace.uploads / upload.name)
    values = {of: getattr(upload, of) for of in ("original", "kind", "size", "summary")}
    write_json_file({**values, "sha256": digest}, _record(workspace, upload.name))
    return upload


def _checked(workspace: Workspace, kind: str, part: Path, name: str) -> dict[str, Any]:
    """The summary of a file, found out by a child process that may do little."""
    about = KINDS[kind]
    others = [upload for upload in list_uploads(workspace) if kind in ("jobs", "sites")]
    if kind == "jobs":
        for other in others:
            part.with_name(other.name).symlink_to((workspace.uploads / other.name).resolve())
    request = {
        "original": name,
        "time_limit_s": about.time_limit_s,
        "memory_limit_bytes": about.memory_limit_bytes,
        "uploads": [{"name": o.name, "kind": o.kind, "original": o.original} for o in others],
    }
    code, out, err = _run(
        [sys.executable, "-P", "-m", _CHECK, kind, str(part)],
        json.dumps(request),
        part.parent,
        about.time_limit_s,
    )
    try:
        answer = json.loads(out)
    except ValueError:
        answer = {}
    if code == 0 and isinstance(answer.get("summary"), dict):
        return dict(answer["summary"])
    if code == 0 and "error" in answer and not _lacked_memory(str(answer["error"])):
        line = str(answer["error"]).replace(f"{part}: ", "").replace(str(part), name)
        line = line.replace(f"{workspace.uploads.resolve()}/", UPLOADED)
        raise _refusal(name, line.replace(f"{part.parent}/", ""))
    raise _refusal(name, _cause(code, out + err, about))


def _refusal(name: str, line: str) -> InputError:
    text = " ".join("".join(c if c.isprintable() else " " for c in line).split())
    return InputError(f"{name}: {text[:_LONGEST_ERROR]}")


def _lacked_memory(text: str) -> bool:
    return any(sign in text for sign in _SIGNS_OF_NO_MEMORY)


def _cause(code: int | None, said: str, about: UploadKind) -> str:
    """What ended a child that gave no answer, by its last words."""
    if code is None or code in (-signal.SIGXCPU, -signal.SIGKILL):
        return (
            f"could not be read within {about.time_limit_s:g} s; "
            f"give a smaller part of it, or make sure that it is {about.what}"
        )
    if _lacked_memory(said):
        return (
            f"needed more than {about.memory_limit_bytes / 1e9:g} GB to be read; "
            f"give a smaller part of it, or make sure that it is {about.what}"
        )
    return f"could not be read: it is broken, or not {about.what}"


def _run(
    command: list[str], text: str, folder: Path, time_limit_s: float
) -> tuple[int | None, str, str]:
    """Exit status (None: it took too long), output and error output of a process of its own group.

    Whatever it has started ends with it.
    """
    with subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
        errors="replace",
        cwd=folder,
        env=_environment(folder),
        start_new_session=True,
    ) as process:
        try:
            out, err = process.communicate(text, timeout=time_limit_s)
        except subprocess.TimeoutExpired:
            return None, "", ""
        finally:
            _end_group(process.pid)
    return process.returncode, out, err


def _end_group(group: int) -> None:
    try:
        os.killpg(group, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        return


def _environment(folder: Path) -> dict[str, str]:
    """What a child needs: where Python is, no proxies or keys, and no driver that goes further."""
    known = {of: os.environ[of] for of in ("PATH", "LD_LIBRARY_PATH") if of in os.environ}
    return {
        **known,
        "LANG": "C.UTF-8",
        "HOME": str(folder),
        "TMPDIR": str(folder),
        "PYTHONPATH": str(Path(__file__).resolve().parents[2]),
        "PYTHONUSERBASE": site.getuserbase(),
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONUTF8": "1",
        # Each thread's stack and arena counts as memory.
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "MALLOC_ARENA_MAX": "2",
        "GDAL_SKIP": _SKIPPED_DRIVERS,
        "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR",
        "GDAL_PAM_ENABLED": "NO",
        "CPL_VSIL_CURL_ALLOWED_EXTENSIONS": "{none}",
        "GDAL_HTTP_PROXY": "127.0.0.1:9",
        "PROJ_NETWORK": "OFF",
    }
