"""Data that the public can have: a list of it, and its download into the registry.

A download goes to ``partial/<sha256>.part`` in the registry's home, stays there when it is cut off,
and goes on from there the next time. It becomes an artifact when every file is whole and has the
SHA-256 that the list says.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlsplit

from rfplatform.errors import InputError, unknown_name
from rfplatform.registry.artifact import Artifact, File, Kind, parse_ref
from rfplatform.registry.download import SCHEMES, Progress, PublicFile, download, part_name
from rfplatform.registry.store import PARTIAL

if TYPE_CHECKING:
    from rfplatform.registry.registry import Registry

State = Literal["shipped", "download", "manual"]
_TEXTS = ("title", "licence", "citation", "schema", "homepage", "made", "manual")


@dataclass(frozen=True)
class PublicData:
    """An artifact that can be had, by a download or by hand.

    Attributes
    ----------
    name, version, kind, title, licence, citation, schema : str
        As an `Artifact`'s.
    homepage : str
    made : str
        How it was made, for what comes with rfplatform.
    manual : str
        What a person must do to get it; "" where a download can.
    unpinned : bool
        Whether files have no SHA-256 beforehand.
    files : tuple of PublicFile
        None where a person must get it.
    """

    name: str
    version: str
    kind: Kind
    title: str
    licence: str
    citation: str = ""
    schema: str = ""
    homepage: str = ""
    made: str = ""
    manual: str = ""
    unpinned: bool = False
    files: tuple[PublicFile, ...] = ()

    @property
    def ref(self) -> str:
        """Its full name: "name@version"."""
        return f"{self.name}@{self.version}"

    @property
    def size_bytes(self) -> int | None:
        """Of all files; None where it is not known."""
        sizes = [f.size_bytes for f in self.files]
        known = [size for size in sizes if size is not None]
        return sum(known) if known and len(known) == len(sizes) else None

    @property
    def state(self) -> State:
        """How it can be had."""
        if not self.files:
            return "manual"
        return "shipped" if all(f.shipped for f in self.files) else "download"

    @property
    def facts(self) -> dict[str, Any]:
        """What its artifact knows of it."""
        known = {"homepage": self.homepage, "made": self.made}
        return {name: value for name, value in known.items() if value}


# ----------------------------------------------------------------------------------------------
# The list
# ----------------------------------------------------------------------------------------------


def read_public(path: Path) -> tuple[PublicData, ...]:
    """Read and check a list of public data.

    Parameters
    ----------
    path : Path
        A TOML file with a table ``[[artifact]]`` each; ``shipped`` files lie beside it.

    Raises
    ------
    InputError
        If it can't be read; the message names the artifact and what is wrong with it.
    """
    try:
        listed = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InputError(f"{path}: is no list of public data ({error})") from error
    entries = listed.get("artifact", [])
    if not isinstance(entries, list) or set(listed) - {"artifact"}:
        raise InputError(f"{path}: must hold tables [[artifact]] and nothing else")
    found: dict[str, PublicData] = {}
    for number, entry in enumerate(entries, 1):
        where = f"{path}: artifact {number}"
        if isinstance(entry, dict) and isinstance(entry.get("name"), str):
            where += f" ({entry['name']})"
        data = _read_entry(entry, path.parent, where)
        if data.ref in found:
            raise InputError(f"{where}: {data.ref} is listed twice")
        found[data.ref] = data
    return tuple(found.values())


def find_public(listed: Sequence[PublicData], ref: str) -> PublicData:
    """The entry of "name@version", or the last one that is listed of a bare "name".

    Raises
    ------
    InputError
        If there is none; the message tells near misses.
    """
    name, version = parse_ref(ref)
    versions = [data for data in listed if data.name == name]
    if not versions:
        raise unknown_name("public data", name, sorted({data.name for data in listed}))
    for data in reversed(versions):
        if version in (None, data.version):
            return data
    raise InputError(
        f"{name} has no version {version!r} (it has {', '.join(d.version for d in versions)})"
    )


def _read_entry(entry: object, folder: Path, where: str) -> PublicData:
    if not isinstance(entry, dict):
        raise InputError(f"{where}: must be a table")
    required = ("name", "version", "kind", "title", "licence")
    _check_keys(entry, required, (*_TEXTS, "unpinned", "files"), where)
    values = dict(entry)
    unpinned = values.pop("unpinned", False)
    files = values.pop("files", [])
    if not isinstance(unpinned, bool):
        raise InputError(f"{where}: unpinned must be true or false")
    if not isinstance(files, list):
        raise InputError(f"{where}: files must be a list of tables")
    for key, value in values.items():
        if not isinstance(value, str) or not value.strip():
            raise InputError(f"{where}: {key} must be a text")
    data = PublicData(
        **values,
        unpinned=unpinned,
        files=tuple(_read_file(file, folder, where, unpinned=unpinned) for file in files),
    )
    if bool(data.files) == bool(data.manual):
        raise InputError(f"{where}: must have either files or manual, what a person has to do")
    if data.manual and not data.homepage:
        raise InputError(f"{where}: needs the homepage at which a person finds it")
    try:
        _artifact(data, [File(f.path, f.sha256 or "0" * 64, 0, f.url) for f in data.files])
    except InputError as error:
        raise InputError(f"{where}: {error}") from error
    return data


def _read_file(file: object, folder: Path, where: str, *, unpinned: bool) -> PublicFile:
    if not isinstance(file, dict):
        raise InputError(f"{where}: files must be a list of tables")
    _check_keys(file, ("path",), ("url", "shipped", "sha256", "size_bytes"), where)
    path, sha256, size = file["path"], file.get("sha256", ""), file.get("size_bytes")
    where = f"{where}, file {path!r}"
    if not all(isinstance(text, str) for text in (path, sha256)):
        raise InputError(f"{where}: path and sha256 must be texts")
    if size is not None and (not isinstance(size, int) or isinstance(size, bool) or size < 0):
        raise InputError(f"{where}: size_bytes must be a whole number")
    if not sha256 and not unpinned:
        raise InputError(f"{where}: lacks its sha256; say unpinned = true if there is none")
    if ("url" in file) == ("shipped" in file):
        raise InputError(f"{where}: needs either url or shipped")
    source = file.get("url", file.get("shipped"))
    if not isinstance(source, str):
        raise InputError(f"{where}: url and shipped must be texts")
    if "shipped" in file:
        File(source, "0" * 64, 0)  # a path within the folder, or an error
        return PublicFile(path, (folder / source).absolute().as_uri(), sha256, size, shipped=True)
    if urlsplit(source).scheme not in SCHEMES:
        raise InputError(f"{where}: url {source!r} must begin with {', '.join(SCHEMES)}")
    return PublicFile(path, source, sha256, size)


def _check_keys(
    table: Mapping[str, Any], required: Sequence[str], optional: Sequence[str], where: str
) -> None:
    for key in required:
        if key not in table:
            raise InputError(f"{where}: lacks {key}")
    unknown = [key for key in table if key not in (*required, *optional)]
    if unknown:
        raise InputError(f"{where}: {unknown[0]!r} is unknown (known: {', '.join(optional)})")


# ----------------------------------------------------------------------------------------------
# The download
# ----------------------------------------------------------------------------------------------


def fetch(data: PublicData, registry: Registry, progress: Progress | None = None) -> Artifact:
    """Download what can be had into the registry, unless it is there.

    Parameters
    ----------
    data : PublicData
    registry : Registry
    progress : callable, optional

    Returns
    -------
    Artifact

    Raises
    ------
    InputError
        If a person must get it; or if what the server sends is not what the list says.
    MissingError
        If a server can't be reached or stops on the way: what has arrived is kept, and the next
        call goes on from there.
    """
    if not data.files:
        raise InputError(f"{data.ref} can't be downloaded by a command: {how_by_hand(data)}")
    if registry.has(data.ref):
        return registry.get(data.ref)
    parts = {f.path: registry.home / PARTIAL / part_name(f) for f in data.files}
    files = [download(f, parts[f.path], progress) for f in data.files]
    artifact = registry.add(_artifact(data, files), parts)
    for part in parts.values():
        part.unlink(missing_ok=True)
    return artifact


def how_by_hand(data: PublicData) -> str:
    """What a person has to do for data that no command can download."""
    return (
        f"see {data.homepage}: {data.manual} Then run "
        f"rfplatform registry add {data.ref} --kind {data.kind} FILES"
    )


def _artifact(data: PublicData, files: Sequence[File]) -> Artifact:
    return Artifact(
        data.name,
        data.version,
        data.kind,
        files=tuple(files),
        title=data.title,
        licence=data.licence,
        citation=data.citation,
        schema=data.schema,
        facts=data.facts,
    )
