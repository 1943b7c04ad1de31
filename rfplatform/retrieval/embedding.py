"""Texts -> vectors whose products tell how alike the texts are; every vector is made only once."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from rfplatform.errors import InputError

Vectors: TypeAlias = npt.NDArray[np.float32]
Role: TypeAlias = Literal["query", "passage"]
Progress: TypeAlias = Callable[[int, int], None]
"""Called with how many texts are done, and how many there are."""

BLOCK = 64
"""Texts that are embedded between two writes to the cache."""


class Embedder(Protocol):
    """Makes vectors of unit length, shape [texts, dimensions].

    Attributes
    ----------
    name : str
        Of the model and all that decides its vectors: those of one name can be compared.
    """

    @property
    def name(self) -> str: ...

    def __call__(self, texts: Sequence[str], role: Role = "passage") -> Vectors: ...


def unit_length(vectors: npt.NDArray[np.floating]) -> Vectors:
    """Rows scaled to length 1; rows of zeros stay."""
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    scaled: Vectors = (vectors / np.where(norms > 0, norms, 1)).astype(np.float32)
    return scaled


def digest_of(text: str) -> bytes:
    """What tells texts apart in the cache: their SHA-256."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()


@dataclass(frozen=True)
class EmbeddingCache:
    """Vectors in an SQLite file, by embedder and text, so that an interrupted build goes on.

    Attributes
    ----------
    path : Path
        It may be removed at any time, and then costs the time to embed anew.
    """

    path: Path

    @classmethod
    def default(cls) -> EmbeddingCache:
        """The one in the user's cache folder."""
        from platformdirs import user_cache_path

        return cls(user_cache_path("rfplatform", appauthor=False) / "embeddings.sqlite")

    def read(self, name: str, keys: Iterable[bytes]) -> dict[bytes, Vectors]:
        """The vectors that are there, by `digest_of` their texts."""
        if not self.path.exists():
            return {}
        found = {}
        with self._open() as db:
            for key in keys:
                row = db.execute(
                    "select vector from vectors where embedder = ? and text = ?", (name, key)
                ).fetchone()
                if row is not None and len(row[0]) % 4 == 0:
                    found[key] = np.frombuffer(row[0], dtype="<f4")
        return found

    def write(self, name: str, vectors: Mapping[bytes, Vectors]) -> None:
        """Keep some vectors, in one transaction."""
        with self._open() as db, db:
            db.executemany(
                "insert or replace into vectors values (?, ?, ?)",
                [(name, key, vector.astype("<f4").tobytes()) for key, vector in vectors.items()],
            )

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with closing(sqlite3.connect(self.path, timeout=60.0)) as db:
                db.execute("pragma journal_mode = wal")
                db.execute(
                    "create table if not exists vectors "
                    "(embedder text, text blob, vector blob, primary key (embedder, text)) "
                    "without rowid"
                )
                yield db
        except (OSError, sqlite3.Error) as error:
            raise InputError(
                f"{self.path}: the cache of embeddings can't be used ({error}): remove it"
            ) from error


def embed(
    texts: Sequence[str],
    embedder: Embedder,
    cache: EmbeddingCache | None = None,
    progress: Progress | None = None,
) -> Vectors:
    """The vectors of passages, each text once.

    Parameters
    ----------
    texts : sequence of str
    embedder : Embedder
    cache : EmbeddingCache, optional
        Where vectors are looked up and kept, block by block.
    progress : callable, optional

    Returns
    -------
    ndarray of float32, shape [texts, dimensions]
        ``[0, 0]`` where there is no text.

    Raises
    ------
    InputError
        If vectors of the cache are of another size: it was not this embedder that made them.
    """
    keys = [digest_of(text) for text in texts]
    known = {} if cache is None else cache.read(embedder.name, dict.fromkeys(keys))
    missing = {key: text for key, text in zip(keys, texts, strict=True) if key not in known}
    order = list(missing.items())
    for start in range(0, len(order), BLOCK):
        if progress is not None:
            progress(len(known), len(known) + len(order) - start)
        block = order[start : start + BLOCK]
        made = embedder([text for _, text in block])
        new = {key: vector for (key, _), vector in zip(block, made, strict=True)}
        if cache is not None:
            cache.write(embedder.name, new)
        known.update(new)
    if progress is not None:
        progress(len(known), len(known))
    if len({len(vector) for vector in known.values()}) > 1:
        raise InputError(f"embedder {embedder.name}: its vectors are of several sizes")
    if not keys:
        return np.zeros((0, 0), dtype=np.float32)
    return np.stack([known[key] for key in keys])
