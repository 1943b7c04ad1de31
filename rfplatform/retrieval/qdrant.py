"""Chunks in a Qdrant server, where an index outgrows a machine."""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from rfplatform.documents.chunk import Chunk
from rfplatform.errors import InputError, MissingError
from rfplatform.retrieval.dense import Dense
from rfplatform.retrieval.embedding import Embedder, EmbeddingCache, Progress, embed
from rfplatform.retrieval.endpoint import Endpoint
from rfplatform.retrieval.retriever import Hit

if TYPE_CHECKING:
    from qdrant_client import QdrantClient

KEY = "QDRANT_API_KEY"
"""Environment variable with the server's API key, where it wants one."""

_NAMESPACE = uuid.UUID("6c1a3c0e-51f4-5e0c-9a64-6f2b6f0d9e52")
_PAGE, _BATCH = 1000, 256


@dataclass(frozen=True)
class Qdrant:
    """A collection of a Qdrant server.

    Attributes
    ----------
    url : str
        Such as "http://localhost:6333".
    collection : str
        Made when chunks are first put there; it should hold nothing else.
    timeout_s : int
        For one request.
    dense : Dense
    """

    url: str
    collection: str
    timeout_s: int = 60
    dense: Dense = field(default_factory=Dense)

    def connect(self, embedder: Embedder) -> QdrantChunks:
        """A client; nothing is asked of the server yet.

        Raises
        ------
        InputError
            If it is no URL.
        MissingError
            If `qdrant-client` is not installed.
        """
        try:
            from qdrant_client import QdrantClient
        except ImportError:
            raise MissingError(
                "the library qdrant-client is not installed: pip install 'rfplatform[qdrant]'"
            ) from None
        shown = Endpoint(self.url, (KEY,)).shown
        client = QdrantClient(
            url=self.url,
            api_key=os.environ.get(KEY) or None,
            timeout=self.timeout_s,
            check_compatibility=False,
        )
        return QdrantChunks(client, self.collection, embedder, shown, self.dense)


@dataclass(frozen=True)
class Synced:
    """What was done to a collection: chunks that were written, removed, and there already."""

    written: int
    removed: int
    kept: int


@dataclass(frozen=True, eq=False)
class QdrantChunks:
    """Chunks of a collection: a `Retriever` over those that `sync` put there.

    Attributes
    ----------
    client : QdrantClient
    collection : str
    embedder : Embedder
    shown : str
        The server's name in messages.
    dense : Dense
    """

    client: QdrantClient
    collection: str
    embedder: Embedder
    shown: str
    dense: Dense = field(default_factory=Dense)

    def sync(
        self,
        chunks: Sequence[Chunk],
        cache: EmbeddingCache | None = None,
        progress: Progress | None = None,
    ) -> Synced:
        """Make the collection hold these chunks and no others.

        Only those are embedded and sent that are not there yet, by their contents: adding,
        changing or removing a document touches its own chunks alone, and an interrupted call goes
        on with the next. What is obsolete is removed last.

        Raises
        ------
        InputError
            If the server refuses, or the collection is of vectors of another size.
        MissingError
            If the server can't be reached.
        """
        wanted = {self._name(chunk): chunk for chunk in chunks}
        there = self._there()
        new = [(name, chunk) for name, chunk in wanted.items() if name not in there]
        for start in range(0, len(new), _BATCH):
            block = new[start : start + _BATCH]
            if progress is not None:
                progress(start, len(new))
            vectors = embed(
                [self.dense.text(chunk) for _, chunk in block], self.embedder, cache, None
            )
            if start == 0:
                self._require_collection(vectors.shape[1])
            self._write(block, vectors.tolist())
        if progress is not None:
            progress(len(new), len(new))
        obsolete = sorted(there - wanted.keys())
        for start in range(0, len(obsolete), _PAGE):
            self._remove(obsolete[start : start + _PAGE])
        return Synced(len(new), len(obsolete), len(wanted) - len(new))

    def __call__(self, query: str, top_k: int) -> list[Hit]:
        if not query.strip() or top_k < 1:
            return []
        vector = self.embedder([query], "query")[0].tolist()
        with self._told():
            if not self.client.collection_exists(self.collection):
                raise InputError(f"{self._where}: does not exist: put an index there first")
            found = self.client.query_points(
                self.collection, query=vector, limit=top_k, with_payload=True
            ).points
        hits = [Hit(self._chunk(point.payload), float(point.score)) for point in found]
        return sorted(hits, key=lambda hit: (-hit.score, hit.chunk.id))

    @property
    def _where(self) -> str:
        return f'{self.shown}, collection "{self.collection}"'

    def _name(self, chunk: Chunk) -> str:
        """A point's id: of all that the point holds."""
        body = [self.embedder.name, self.dense.text(chunk), vars(chunk)]
        return str(uuid.uuid5(_NAMESPACE, json.dumps(body, sort_keys=True)))

    def _there(self) -> set[str]:
        there: set[str] = set()
        with self._told():
            if not self.client.collection_exists(self.collection):
                return there
            offset: Any = None
            while True:
                points, offset = self.client.scroll(
                    self.collection,
                    limit=_PAGE,
                    offset=offset,
                    with_payload=False,
                    with_vectors=False,
                )
                there.update(str(point.id) for point in points)
                if offset is None:
                    return there

    def _require_collection(self, dimensions: int) -> None:
        from qdrant_client import models

        with self._told():
            if not self.client.collection_exists(self.collection):
                self.client.create_collection(
                    self.collection,
                    vectors_config=models.VectorParams(
                        size=dimensions, distance=models.Distance.COSINE
                    ),
                )
            vectors = self.client.get_collection(self.collection).config.params.vectors
        if not isinstance(vectors, models.VectorParams) or vectors.size != dimensions:
            raise InputError(
                f"{self._where}: is not of vectors with {dimensions} dimensions, as those of "
                f"{self.embedder.name} are: name another collection"
            )

    def _write(self, block: Sequence[tuple[str, Chunk]], vectors: Sequence[list[float]]) -> None:
        from qdrant_client import models

        points = [
            models.PointStruct(
                id=name,
                vector=vector,
                payload={
                    "embedder": self.embedder.name,
                    "chunk": {**vars(chunk), "parents": list(chunk.parents)},
                },
            )
            for (name, chunk), vector in zip(block, vectors, strict=True)
        ]
        with self._told():
            self.client.upsert(self.collection, points)

    def _remove(self, names: Sequence[str]) -> None:
        from qdrant_client import models

        with self._told():
            self.client.delete(self.collection, models.PointIdsList(points=list(names)))

    def _chunk(self, payload: dict[str, Any] | None) -> Chunk:
        found, made_with = (payload or {}).get("chunk"), (payload or {}).get("embedder")
        if made_with is not None and made_with != self.embedder.name:
            raise InputError(
                f"{self._where}: its vectors are of the embedder {made_with}, not "
                f"{self.embedder.name}"
            )
        try:
            return Chunk(**{**found, "parents": tuple(found["parents"])})  # type: ignore[index,dict-item]
        except (KeyError, TypeError):
            raise InputError(f"{self._where}: holds something that is no chunk") from None

    @contextmanager
    def _told(self) -> Iterator[None]:
        """The client's errors in one line."""
        from qdrant_client.http.exceptions import ApiException, UnexpectedResponse

        try:
            yield
        except UnexpectedResponse as error:
            if error.status_code in (401, 403):
                raise InputError(f"{self._where}: refused the API key: set {KEY}") from None
            said = " ".join(error.content.decode("utf-8", "replace").split())[:200]
            raise InputError(f"{self._where}: HTTP {error.status_code}: {said}") from None
        except (ApiException, OSError) as error:
            said = " ".join(str(error).split())[:200]
            raise MissingError(
                f"{self._where}: can't be reached ({said}): is the server up?"
            ) from None
        except (ValueError, RuntimeError) as error:
            said = " ".join(str(error).split())[:200]
            raise InputError(f"{self._where}: can't be used ({said})") from None
