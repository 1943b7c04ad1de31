"""What the registry keeps: a named, versioned set of files with their hashes and parents."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any, Literal, get_args

from rfplatform.errors import InputError

Kind = Literal["dataset", "scene", "radio-map", "collection", "model", "report"]
KINDS: tuple[Kind, ...] = get_args(Kind)

_PART = r"[a-z0-9](?:[a-z0-9._-]*[a-z0-9])?"
_NAME = re.compile(rf"{_PART}(?:/{_PART})*")
_VERSION = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._+-]*[A-Za-z0-9])?")
_SHA256 = re.compile(r"[0-9a-f]{64}")
LONGEST_NAME = 200


@dataclass(frozen=True)
class File:
    """A file of an artifact.

    Attributes
    ----------
    path : str
        Within the artifact, with forward slashes: "radio_map.tif".
        It names the file in every folder that it is copied to, wherever its record came from.
    sha256 : str
        Of its contents, in lower-case hexadecimal.
    size_bytes : int
    url : str
        Where it can be had outside of a store; "" for one that a store holds. It is no part of
        what the file is.
    """

    path: str
    sha256: str
    size_bytes: int
    url: str = ""

    def __post_init__(self) -> None:
        if not _is_inside(self.path):
            raise InputError(f"file {self.path!r}: must be a path within its artifact")
        if not _SHA256.fullmatch(self.sha256):
            raise InputError(f"file {self.path}: {self.sha256!r} is no SHA-256")
        if self.size_bytes < 0:
            raise InputError(f"file {self.path}: size {self.size_bytes} is negative")

    @property
    def name(self) -> str:
        """The last part of its path."""
        return PurePosixPath(self.path).name

    @classmethod
    def of(cls, local: Path, path: str | None = None) -> File:
        """That of a file on disk, which is read once; called `path`, or as it is there."""
        with local.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        return cls(path or local.name, digest, local.stat().st_size)


def _is_inside(path: str) -> bool:
    """Whether a path names a file below the folder that it is put into, on every system."""
    pure = PurePosixPath(path)
    return (
        pure.name != ""
        and path == str(pure)  # no "a/", "a//b", "./a"
        and ".." not in pure.parts
        and not pure.is_absolute()
        and not PureWindowsPath(path).drive
        and "\\" not in path
        and all(" " <= letter != "\x7f" for letter in path)  # no NUL, no line breaks
    )


@dataclass(frozen=True, eq=False)
class Artifact:
    """A version of something: its files, where they come from, and what may be done with them.

    Attributes
    ----------
    name : str
        Lower-case parts between slashes: "maps/monaco".
    version : str
    kind : str
        One of `KINDS`.
    files : tuple of File
        Sorted by path.
    parents : tuple of str
        "name@version" of what it was made from.
    title, licence, citation : str
        For people; the licence as an SPDX identifier where there is one.
    schema : str
        What the files hold, and in which form.
    config : mapping
        What it was created with, as JSON values.
    facts : mapping
        What is known of it, as JSON values: footprint, noise, scores. Decided by files and
        configuration.
    run : mapping
        How the making went: seconds, host, versions. Two runs of one thing may differ in it.
    created : str
        ISO 8601, UTC.
    """

    name: str
    version: str
    kind: Kind
    files: tuple[File, ...] = ()
    parents: tuple[str, ...] = ()
    title: str = ""
    licence: str = ""
    citation: str = ""
    schema: str = ""
    config: Mapping[str, Any] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)
    run: Mapping[str, Any] = field(default_factory=dict)
    created: str = field(
        default_factory=lambda: datetime.now(UTC).isoformat(timespec="milliseconds")
    )

    def __post_init__(self) -> None:
        check_name(self.name)
        check_version(self.version)
        if self.kind not in KINDS:
            raise InputError(f"kind {self.kind!r}: must be one of {', '.join(KINDS)}")
        object.__setattr__(self, "files", tuple(sorted(self.files, key=lambda f: f.path)))
        paths = [f.path for f in self.files]
        if len(set(paths)) < len(paths):
            raise InputError(f"{self.ref}: two files have one path")
        for parent in self.parents:
            parse_ref(parent)

    @property
    def ref(self) -> str:
        """Its full name: "name@version"."""
        return f"{self.name}@{self.version}"

    @property
    def size_bytes(self) -> int:
        """Of all files."""
        return sum(f.size_bytes for f in self.files)

    def file(self, path: str) -> File:
        """The file of a path.

        Raises
        ------
        InputError
            If there is none; the message lists those that there are.
        """
        for f in self.files:
            if f.path == path:
                return f
        raise InputError(
            f"{self.ref} has no file {path!r} (it has {', '.join(f.path for f in self.files)})"
        )

    def digest(self) -> str:
        """SHA-256 of what makes it what it is: all but `run`, `created` and where its files are."""
        body = {k: v for k, v in self.to_dict().items() if k not in ("run", "created")}
        for file in body["files"]:
            del file["url"]
        return hashlib.sha256(canonical_json(body)).hexdigest()

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values, for reading: mappings are the artifact's own."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        return {**values, "files": [dict(vars(f)) for f in self.files]}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Artifact:
        """From what `to_dict` gave.

        Raises
        ------
        InputError
            If it is no artifact.
        """
        try:
            return cls(
                **{
                    **values,
                    "files": tuple(File(**f) for f in values["files"]),
                    "parents": tuple(values["parents"]),
                }
            )
        except (AttributeError, KeyError, TypeError) as error:
            raise InputError(f"not an artifact's record ({error})") from error


def canonical_json(value: object) -> bytes:
    """The one JSON text of a value: sorted keys, no spaces, UTF-8."""
    return json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    ).encode()


def check_name(name: str) -> str:
    """Return a name that artifacts may have.

    Raises
    ------
    InputError
        If they may not.
    """
    if not _NAME.fullmatch(name) or len(name) > LONGEST_NAME:
        raise InputError(
            f"name {name!r}: use lower-case letters, digits, '.', '_' and '-', in parts between "
            f"slashes, at most {LONGEST_NAME} characters"
        )
    return name


def check_version(version: str) -> str:
    """Return a version that artifacts may have.

    Raises
    ------
    InputError
        If they may not.
    """
    if not _VERSION.fullmatch(version) or len(version) > LONGEST_NAME:
        raise InputError(f"version {version!r}: use letters, digits, '.', '_', '+' and '-'")
    return version


def parse_ref(ref: str) -> tuple[str, str | None]:
    """Name and version of "name@version"; the version is None in a bare "name".

    Raises
    ------
    InputError
        If it can't be read.
    """
    name, at, version = ref.partition("@")
    return check_name(name), check_version(version) if at else None
