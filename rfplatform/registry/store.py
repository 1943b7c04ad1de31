"""Files by their hash and artifacts by their name, in a folder or at any URL that fsspec knows.

    files/ab/<sha256>/<file name>      contents, which never change
    artifacts/<name>/<version>.json    what makes an artifact exist: written last, and once
    partial/                           what is being written (folders alone)

A file appears whole or not at all, and an artifact only after its files, so that whatever ends a
writer leaves at most files that nobody names.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import secrets
import shutil
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from rfplatform.errors import InputError, MissingError, NoSpaceError
from rfplatform.registry.artifact import Artifact, File, parse_ref
from rfplatform.staging import sync_folder

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

FILES, ARTIFACTS, PARTIAL = "files", "artifacts", "partial"
FOLDERS = "folders"
"""Of a cache alone: artifacts' files by their own paths, in a folder for each artifact."""
CHUNK_BYTES = 1 << 20
_ATTEMPTS = 20
_AT_ONCE = 16
"""Records that are asked for at one time where each is small and far away."""
_BARE = "bare"
"""In a record: its files were never put here."""
_REMOTE_LIBRARIES = ("aiobotocore", "aiohttp", "botocore", "gcsfs", "google", "s3fs")


@dataclass(frozen=True)
class Store:
    """A folder, or a URL such as ``s3://bucket/prefix``; nothing is made before it is written to.

    Attributes
    ----------
    url : str
        A path is made absolute; ``file:`` is taken off.
    """

    url: str

    def __post_init__(self) -> None:
        text = self.url.strip()
        if not text:
            raise InputError("a store needs a folder or a URL")
        text = text.removeprefix("file://").removeprefix("file:")
        if "://" not in text:
            text = os.path.realpath(Path(text).expanduser())
        object.__setattr__(self, "url", text.rstrip("/") or "/")

    @property
    def folder(self) -> Path | None:
        """The store's folder; None where it lies elsewhere."""
        return None if "://" in self.url else Path(self.url)

    @cached_property
    def _fs(self) -> AbstractFileSystem:
        return _file_system(self.url)

    def place_of(self, file: File) -> str:
        """Path or URL that a file has in this store."""
        return f"{self.url}/{place_within(file)}"

    def _place_of_artifact(self, name: str, version: str) -> str:
        return f"{self.url}/{ARTIFACTS}/{name}/{version}.json"

    # Files

    def has_file(self, file: File) -> bool:
        """Whether a file is there, by its name and size."""
        return self.size_of(file) == file.size_bytes

    def size_of(self, file: File) -> int | None:
        """Bytes that are in a file's place; None where nothing is."""
        if self.folder is not None:
            with suppress(OSError):
                return Path(self.place_of(file)).stat().st_size
            return None
        with self._told(), suppress(FileNotFoundError):
            return int(self._fs.info(self.place_of(file))["size"])
        return None

    def put_file(self, local: Path, file: File | None = None) -> File:
        """Copy a file in, unless it is there; where what is there is damaged, it is replaced.

        Parameters
        ----------
        local : Path
        file : File, optional
            What it is said to be; found out where not given. Contents that differ are refused.
        """
        known = file or File.of(local)
        # Who cleans up may have set it aside for a moment: then it is put again.
        with suppress(MissingError):
            there = self.has_file(known) and self._touched(known)
            if there and self._digest_of(known) == known.sha256:
                return known
        if self.folder is None:
            with told(self.url, writing=True):
                # Objects appear whole.
                self._fs.put_file(str(local), self.place_of(known))
            return known
        with local.open("rb") as source:
            self._receive(source, known)
        return known

    def _touched(self, file: File) -> bool:
        """Make a file young, so that who cleans up takes it for needed; False if it just went."""
        if self.folder is None:
            return True
        try:
            os.utime(self.place_of(file))
        except FileNotFoundError:
            return False
        except PermissionError:
            return True  # another user's file: theirs to clean up
        return True

    def _receive(self, source: Any, file: File) -> None:  # noqa: ANN401  (any binary stream)
        """Write a stream's contents into the folder, if they are the file's."""
        assert self.folder is not None
        digest = hashlib.sha256()
        with _appearing(self.folder, Path(self.place_of(file))) as partial:
            with partial.open("wb") as target:
                while block := source.read(CHUNK_BYTES):
                    digest.update(block)
                    target.write(block)
                target.flush()
                os.fsync(target.fileno())
            if digest.hexdigest() != file.sha256:
                raise InputError(
                    f"{file.path}: its contents are not what its SHA-256 says "
                    f"({digest.hexdigest()[:12]}, not {file.sha256[:12]})"
                )

    def copy_file(self, file: File, other: Store) -> None:
        """Copy a file of another store into this folder, if its contents are the file's.

        Raises
        ------
        MissingError
            If it is not there.
        InputError
            If its contents are not what its SHA-256 says.
        """
        if not self.has_file(file):
            with other.open_file(file) as source:
                self._receive(source, file)

    def open_file(self, file: File) -> Any:  # noqa: ANN401  (fsspec's own file types)
        """Open a file for reading bytes.

        Raises
        ------
        MissingError
            If it is not there.
        """
        try:
            with self._told():
                return self._fs.open(self.place_of(file), "rb")
        except FileNotFoundError:
            raise MissingError(f"{self.place_of(file)}: is not there") from None

    # Artifacts

    def put_artifact(self, artifact: Artifact, *, bare: bool = False) -> Artifact:
        """Make an artifact exist, once: its files must be there.

        Returns the artifact that exists from now on: that of an earlier or a faster writer of the
        same thing, where there is one.

        Parameters
        ----------
        artifact : Artifact
        bare : bool
            Its files are not there, and need not be: it is told of for its lineage alone. It is
            bare no more when it is put with them.

        Raises
        ------
        InputError
            If another one of that name and version exists.
        """
        place = self._place_of_artifact(artifact.name, artifact.version)
        if self._create(place, _record(artifact, bare=bare)):
            return artifact
        there = self.artifact(artifact.ref)
        if there.digest() != artifact.digest():
            raise InputError(
                f"{artifact.ref} exists already at {self.url}, and is something else: "
                "choose another version"
            )
        if not bare and self.is_bare(artifact.ref):
            self._replace(place, _record(there))
        return there

    def renew_collection(self, artifact: Artifact) -> Artifact:
        """As `put_artifact`, in place of the record that is there, in one step.

        Of collections alone, which are what was found at a time: the same is found again later,
        and is the newest then.
        """
        assert artifact.kind == "collection"
        place = self._place_of_artifact(artifact.name, artifact.version)
        self._replace(place, _record(artifact))
        return artifact

    def _create(self, place: str, body: bytes) -> bool:
        """Write an object that is not there yet; False where it is."""
        if self.folder is None:
            try:
                with told(self.url, writing=True):
                    if self._fs.exists(place):
                        return False
                    # Without a file system that can, the window is that of one request.
                    try:
                        self._fs.pipe_file(place, body, mode="create")
                    except (TypeError, NotImplementedError, ValueError):
                        self._fs.pipe_file(place, body)
            except FileExistsError:
                return False
            return True
        target = Path(place)
        if target.exists():
            return False
        try:
            with (
                _appearing(self.folder, target, exclusive=True) as partial,
                partial.open("wb") as file,
            ):
                file.write(body)
                file.flush()
                os.fsync(file.fileno())
        except FileExistsError:
            return False
        return True

    def artifact(self, ref: str) -> Artifact:
        """Read an artifact.

        Raises
        ------
        MissingError
            If there is none of that name and version.
        InputError
            If its record can't be read, or is another one's.
        """
        found = self.find_artifact(ref)
        if found is None:
            raise MissingError(f"{ref} is not at {self.url}")
        return found

    def find_artifact(self, ref: str) -> Artifact | None:
        """As `artifact`; None where there is none."""
        found = self._recorded(ref)
        return None if found is None else found[0]

    def is_bare(self, ref: str) -> bool:
        """Whether an artifact's record came without its files."""
        found = self._recorded(ref)
        return found is not None and found[1]

    def _recorded(self, ref: str) -> tuple[Artifact, bool] | None:
        name, version = parse_ref(ref)
        if version is None:
            raise InputError(f"{ref}: a version is needed, as in {name}@VERSION")
        place = self._place_of_artifact(name, version)
        try:
            with self._told():
                body = self._fs.cat_file(place)
        except FileNotFoundError:
            return None
        try:
            values = json.loads(body)
            bare = isinstance(values, dict) and bool(values.pop(_BARE, False))
            found = Artifact.from_dict(values)
        except ValueError as error:
            raise InputError(f"{place}: is damaged ({error})") from error
        if found.ref != ref:
            raise InputError(f"{place}: holds another artifact, {found.ref}")
        return found, bare

    def artifacts(self, refs: Iterable[str]) -> Iterator[Artifact | None]:
        """Read artifacts in their order, several at once where each is a request.

        Parameters
        ----------
        refs : iterable of str
            Read as it is needed, so that any number will do.

        Yields
        ------
        Artifact or None
            None where there is none.
        """
        if self.folder is not None:
            yield from map(self.find_artifact, refs)
            return
        rest, asked = iter(refs), deque[Future[Artifact | None]]()
        pool = ThreadPoolExecutor(_AT_ONCE)
        try:
            while True:
                for ref in islice(rest, 2 * _AT_ONCE - len(asked)):
                    asked.append(pool.submit(self.find_artifact, ref))
                if not asked:
                    return
                yield asked.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)

    def with_ancestors(self, refs: Iterable[str]) -> Iterator[Artifact]:
        """Artifacts and all that is here of what they were made from, each once, children first."""
        wanted = list(dict.fromkeys(refs))
        seen = set(wanted)
        while wanted:
            parents: dict[str, None] = {}
            for artifact in self.artifacts(wanted):
                if artifact is not None:
                    yield artifact
                    parents |= dict.fromkeys(artifact.parents)
            wanted = [parent for parent in parents if parent not in seen]
            seen.update(wanted)

    def has_artifact(self, ref: str) -> bool:
        """Whether an artifact exists."""
        name, version = parse_ref(ref)
        assert version is not None
        place = self._place_of_artifact(name, version)
        with self._told():
            return bool(self._fs.exists(place))

    def versions(self, name: str) -> set[str]:
        """Versions that exist of a name, in one listing."""
        return {
            PurePosixPath(place).name.removesuffix(".json")
            for place in self._listed(f"{self.url}/{ARTIFACTS}/{name}")
            if place.endswith(".json")
        }

    def refs(self) -> Iterator[str]:
        """Full names of all artifacts."""
        root = self._fs._strip_protocol(f"{self.url}/{ARTIFACTS}")
        with self._told():
            found = self._fs.find(root)
        for place in sorted(found):
            if place.endswith(".json"):
                inside = PurePosixPath(place).relative_to(root)
                yield f"{inside.parent}@{inside.name.removesuffix('.json')}"

    def faults(
        self,
        artifact: Artifact,
        *,
        contents: bool = True,
        sizes: Mapping[str, int] | None = None,
    ) -> list[str]:
        """What is wrong with an artifact's files, a line each.

        Parameters
        ----------
        artifact : Artifact
        contents : bool
            Whether to read the files and compare their hashes, or to look at their sizes alone.
        sizes : mapping of str to int, optional
            What `stored_files` gave a while ago, so that no file has to be asked after; what is
            not in it is.
        """
        found = []
        for file in artifact.files:
            if file.url:
                continue  # lies elsewhere
            place = self.place_of(file)
            listed = sizes is not None and sizes.get(place_within(file)) == file.size_bytes
            if not listed and not self.has_file(file):
                found.append(f"{file.path} of {artifact.ref} is missing or cut short ({place})")
            elif contents and self._digest_of(file) != file.sha256:
                found.append(f"{file.path} of {artifact.ref} was changed ({place})")
        return found

    def _digest_of(self, file: File) -> str:
        with self.open_file(file) as source:
            digest = hashlib.sha256()
            while block := source.read(CHUNK_BYTES):
                digest.update(block)
        return digest.hexdigest()

    # Anything else that belongs to it: a catalog, a state

    def put_object(self, place: str, body: bytes | Path) -> None:
        """Write or replace what lies at a place of the store, whole or not at all.

        Parameters
        ----------
        place : str
            Such as "status.json"; not within the store's three parts.
        body : bytes or Path
            Contents, or a file to copy.
        """
        assert place.split("/")[0] not in (FILES, ARTIFACTS, PARTIAL)
        self._replace(f"{self.url}/{place}", body)

    def _replace(self, place: str, body: bytes | Path) -> None:
        if self.folder is None:
            with told(self.url, writing=True):
                if isinstance(body, Path):
                    self._fs.put_file(str(body), place)
                else:
                    self._fs.pipe_file(place, body)
            return
        with _appearing(self.folder, Path(place)) as aside, aside.open("wb") as target:
            if isinstance(body, Path):
                with body.open("rb") as source:
                    shutil.copyfileobj(source, target, CHUNK_BYTES)
            else:
                target.write(body)
            target.flush()
            os.fsync(target.fileno())

    def object_at(self, place: str) -> bytes | None:
        """What lies at a place of the store; None where nothing does."""
        try:
            with self._told():
                return bytes(self._fs.cat_file(f"{self.url}/{place}"))
        except FileNotFoundError:
            return None

    def objects(self, place: str) -> list[str]:
        """Places of what lies directly under one."""
        names = (PurePosixPath(found).name for found in self._listed(f"{self.url}/{place}"))
        return sorted(f"{place}/{name}" for name in names)

    def object_sizes(self, place: str) -> dict[str, int]:
        """Sizes of all that lies under a place, by place."""
        return self._sizes(place)

    # What is there that nobody names

    def stored_files(self) -> dict[str, int]:
        """Sizes of all files by their places in this store (see `place_within`)."""
        return self._sizes(FILES)

    def partial_files(self) -> dict[str, int]:
        """Sizes of what interrupted writers left, by place; of other writers at work, too."""
        return self._sizes(PARTIAL)

    def remove(self, place: str) -> None:
        """Remove what a listing of the store told of; its emptied folders, too."""
        with self._told(), suppress(FileNotFoundError):
            self._fs.rm_file(f"{self.url}/{place}")
        self._remove_emptied(place)

    def _remove_emptied(self, place: str) -> None:
        """Remove the folders around a place that nothing is left in."""
        if self.folder is None:
            return
        with suppress(OSError):
            folder = (self.folder / place).parent
            # Not the store's parts themselves, which writers take for granted.
            while folder.parent != self.folder:
                folder.rmdir()
                folder = folder.parent

    def remove_idle(self, place: str, before: float) -> bool:
        """Remove what was last written or put before a time (seconds since 1970), and nothing else.

        It is set aside first and looked at again, and comes back if it was put meanwhile.
        """
        if self.folder is None:
            with self._told(), suppress(FileNotFoundError):
                if float(self._fs.modified(f"{self.url}/{place}").timestamp()) < before:
                    self._fs.rm_file(f"{self.url}/{place}")
                    return True
            return False
        target = self.folder / place
        aside = self.folder / PARTIAL / f"{secrets.token_hex(8)}-{target.name}"
        with self._told(), suppress(FileNotFoundError):
            if target.stat().st_mtime >= before:
                return False
            aside.parent.mkdir(parents=True, exist_ok=True)
            target.rename(aside)
            if aside.stat().st_mtime >= before:
                place_file(aside, target)
                return False
            aside.unlink()
            # Its place may be taken again by now: only what is empty goes.
            self._remove_emptied(place)
            return True
        return False

    def remove_artifact(self, ref: str) -> None:
        """Make an artifact exist no more; its files stay."""
        name, version = parse_ref(ref)
        assert version is not None
        with self._told(), suppress(FileNotFoundError):
            self._fs.rm_file(self._place_of_artifact(name, version))

    def age_s(self, place: str) -> float:
        """Seconds since a place was last written."""
        import time

        if self.folder is not None:
            return time.time() - (self.folder / place).stat().st_mtime
        written = self._fs.modified(f"{self.url}/{place}").timestamp()
        return time.time() - float(written)

    def _sizes(self, part: str) -> dict[str, int]:
        root = self._fs._strip_protocol(self.url)
        with self._told():
            found = self._fs.find(f"{self.url}/{part}", detail=True)
        return {
            str(PurePosixPath(place).relative_to(root)): int(info["size"])
            for place, info in found.items()
        }

    def _listed(self, place: str) -> list[str]:
        with self._told(), suppress(FileNotFoundError):
            return [str(entry) for entry in self._fs.ls(place, detail=False)]
        return []

    def _told(self) -> told:
        return told(self.url)


def place_within(file: File) -> str:
    """Where a file lies in every store: ``files/ab/<sha256>/<file name>``."""
    return f"{FILES}/{file.sha256[:2]}/{file.sha256}/{file.name}"


def _record(artifact: Artifact, *, bare: bool = False) -> bytes:
    values = artifact.to_dict() | ({_BARE: True} if bare else {})
    return json.dumps(values, indent=1, ensure_ascii=False, allow_nan=False).encode()


def read_range(url: str, start: int, end: int) -> bytes:
    """Bytes of a file at any URL or path, from `start` up to `end`; fewer where it is shorter.

    Raises
    ------
    FileNotFoundError
        If nothing is there.
    MissingError
        If it can't be reached.
    """
    with told(url):
        try:
            block = bytes(_file_system(url).cat_file(url, start=start, end=end))
        except Exception as error:
            # S3's and HTTP's words for a range that begins where the file ends.
            past_end = isinstance(error, OSError) and error.errno == errno.EINVAL
            if past_end or getattr(error, "status", 0) == 416:
                return b""
            raise
    # A server that knows no ranges sends everything.
    return block if len(block) <= end - start else block[start:end]


def _file_system(url: str) -> AbstractFileSystem:
    from fsspec.core import url_to_fs

    scheme = url.split("://", 1)[0]
    try:
        # Without a memory of listings, since others write as well.
        return url_to_fs(url, use_listings_cache=False)[0]
    except ImportError as error:
        package = "aiohttp requests" if scheme.startswith("http") else f"rfplatform[{scheme}]"
        raise MissingError(f"{url}: {error}; pip install {package}") from error
    except ValueError as error:
        raise InputError(f"{url}: {error}") from error


class told:  # noqa: N801  (a context manager, used like a function)
    """Tell in one line what a file system can't do; what is not there stays the reader's."""

    def __init__(self, url: str, *, writing: bool = False) -> None:
        self._url, self._writing = url, writing

    def __enter__(self) -> None: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: object
    ) -> None:
        if isinstance(error, FileExistsError | MissingError | InputError):
            return
        if isinstance(error, FileNotFoundError) and not self._writing:
            return
        if isinstance(error, OSError):
            raise _unwritable(self._url, error) from error
        if type(error).__module__.split(".")[0] in _REMOTE_LIBRARIES:
            raise MissingError(f"{self._url}: {error}") from error


class _appearing:  # noqa: N801
    """A file of a folder that is written aside and moved into place, whole and synced."""

    def __init__(self, folder: Path, target: Path, *, exclusive: bool = False) -> None:
        self._target, self._exclusive = target, exclusive
        self._aside = folder / PARTIAL / f"{secrets.token_hex(8)}-{target.name}"

    def __enter__(self) -> Path:
        try:
            self._aside.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise _unwritable(self._aside.parent, error) from error
        return self._aside

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: object
    ) -> None:
        try:
            if kind is None:
                place_file(self._aside, self._target, exclusive=self._exclusive)
        except FileExistsError:
            raise
        except OSError as failed:
            raise _unwritable(self._target, failed) from failed
        finally:
            self._aside.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise _unwritable(self._target, error) from error


def place_file(aside: Path, target: Path, *, exclusive: bool = False) -> None:
    """Move a file into place, and bring the folders that name it to the disk.

    Raises
    ------
    FileExistsError
        If `exclusive` and something is there.
    """
    made = [p for p in target.parents if not p.exists()]
    for attempt in range(_ATTEMPTS):
        try:
            # It says so, too, of a folder that was there and is gone when it looks again.
            with suppress(FileExistsError):
                target.parent.mkdir(parents=True, exist_ok=True)
            if exclusive:
                os.link(aside, target)
            else:
                aside.replace(target)
            break
        except FileNotFoundError:  # another process removed the folder, as it was empty
            if attempt == _ATTEMPTS - 1 or not aside.exists():
                raise
    for folder in {target.parent, *(p.parent for p in made)}:
        with suppress(FileNotFoundError):  # cleaned up already
            sync_folder(folder)


def _unwritable(place: object, error: OSError) -> MissingError:
    text = f"{place}: {error.strerror or error}"
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return NoSpaceError(f"{text}: free some and run the same again; nothing finished is lost")
    return MissingError(text)
