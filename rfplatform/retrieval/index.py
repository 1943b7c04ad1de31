"""An index: a folder with documents, their chunks, and what finds them again.

    manifest.json           what it was made of, and how
    sections.arrow          all that the documents say
    chunks.arrow            the windows that are searched
    bm25.*                  words' scores, see `Bm25Index`
    vectors.npy             where it has vectors, see `DenseIndex`
    glossary.tsv            abbreviations that the documents themselves explain

Nothing in it is code, and no file is read in a way that could run any: JSON, Arrow, plain arrays.
Equal documents and settings give equal bytes, however often the index was changed before.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Literal, TypeAlias

from rfplatform.documents.chunk import OVERLAP, SIZE, Chunk, chunks
from rfplatform.documents.document import Document, Section
from rfplatform.documents.read import read_document, sources
from rfplatform.documents.source import Source
from rfplatform.errors import InputError
from rfplatform.registry.artifact import Artifact, File
from rfplatform.retrieval.bm25 import Bm25, Bm25Index
from rfplatform.retrieval.dense import Dense, DenseIndex
from rfplatform.retrieval.embedding import Embedder, EmbeddingCache, Progress
from rfplatform.retrieval.fusion import Fused
from rfplatform.retrieval.glossary import Glossary
from rfplatform.retrieval.manifest import (
    MANIFEST,
    DenseMade,
    IndexedDocument,
    IndexedSource,
    Manifest,
    read_manifest,
)
from rfplatform.retrieval.ranking import Ranking
from rfplatform.retrieval.rerank import Reranked, Reranker
from rfplatform.retrieval.retriever import Hit, Retriever
from rfplatform.retrieval.rows import (
    CHUNKS,
    SECTIONS,
    StoredChunks,
    read_sections,
    write_chunks,
    write_sections,
)
from rfplatform.staging import require_free, staged

GLOSSARY = "glossary.tsv"
READERS_VERSION = "1"
"""Of rfplatform.documents' readers: another one makes every document be read anew."""
GLOSSARY_WEIGHT = 0.03
"""How much the words of a query's abbreviations count in BM25, beside 1 for its own.

Enough to find what says the same in other words, too little to outvote the query's own: of the
MRR@10 of `oran:retrieval` it gains 0.000 to 0.004, and 0.2 loses 0.01 of it.
"""

Kind: TypeAlias = Literal["bm25", "dense", "fused"]


@dataclass(frozen=True, eq=False)
class Index:
    """An index that is open; see `open_index`."""

    path: Path
    manifest: Manifest
    chunks: StoredChunks
    bm25: Bm25Index
    vectors: DenseIndex | None
    glossary: Glossary

    @property
    def documents(self) -> tuple[IndexedDocument, ...]:
        """What it holds, by name."""
        return self.manifest.documents

    @cached_property
    def _by_name(self) -> Mapping[str, IndexedDocument]:
        return {document.name: document for document in self.documents}

    def document(self, name: str) -> Document:
        """A document with its text.

        Raises
        ------
        InputError
            If there is none of that name.
        """
        known = self._by_name.get(name)
        if known is None:
            raise InputError(f'{self.path}: holds no document "{name}"')
        found = read_sections(self.path / SECTIONS, known.first_section, known.sections)
        return Document(
            known.name,
            known.title,
            known.version,
            known.licence,
            known.sha256,
            found,
            known.notes,
        )

    def section(self, chunk: Chunk) -> Section:
        """The whole section that a chunk is a window of.

        Raises
        ------
        InputError
            If it is not of this index.
        """
        known = self._by_name.get(chunk.document)
        if known is None or not 0 <= chunk.section < known.sections:
            raise InputError(f'{self.path}: holds no section of the chunk "{chunk.id}"')
        first = known.first_section + chunk.section
        return read_sections(self.path / SECTIONS, first, 1)[0]

    def retriever(
        self,
        kind: Kind | None = None,
        *,
        embedder: Embedder | None = None,
        glossary: Glossary | None = None,
        reranker: Reranker | None = None,
    ) -> Retriever:
        """What finds chunks.

        Parameters
        ----------
        kind : {"bm25", "dense", "fused"}, optional
            By default "fused" with an embedder, "bm25" without.
        embedder : Embedder, optional
            The one that the index was built with.
        glossary : Glossary, optional
            By which BM25's queries are expanded: by default the shipped one and the documents' own.
        reranker : Reranker, optional
            Puts the best hits in order.

        Raises
        ------
        InputError
            If the index has no vectors, or those of another embedder.
        """
        kind = kind or ("bm25" if embedder is None else "fused")
        if kind not in ("bm25", "dense", "fused"):
            raise InputError(f'retriever "{kind}" is unknown (known: bm25, dense, fused)')
        parts: list[Retriever] = []
        if kind != "dense":
            if glossary is None:
                glossary = Glossary.shipped().with_entries(self.glossary)
            parts.append(Bm25Retriever(self.chunks, self.bm25, glossary))
        if kind != "bm25":
            parts.append(self._dense(embedder))
        found = parts[0] if len(parts) == 1 else Fused(tuple(parts))
        return found if reranker is None else Reranked(found, reranker)

    def _dense(self, embedder: Embedder | None) -> Retriever:
        made = self.manifest.dense
        if self.vectors is None or made is None:
            raise InputError(f"{self.path}: has no vectors: index the documents with an embedder")
        if embedder is None:
            raise InputError(f"{self.path}: dense retrieval needs its embedder, {made.embedder}")
        if embedder.name != made.embedder:
            raise InputError(
                f"{self.path}: its vectors are of the embedder {made.embedder}, not {embedder.name}"
            )
        return DenseRetriever(self.chunks, self.vectors, embedder)


@dataclass(frozen=True, eq=False)
class Bm25Retriever:
    """BM25 over chunks, with the query's abbreviations spelled out."""

    chunks: Sequence[Chunk]
    index: Bm25Index
    glossary: Glossary

    def __call__(self, query: str, top_k: int) -> list[Hit]:
        also = self.glossary.expand(query)
        return _hits(self.chunks, self.index.search(query, top_k, also, GLOSSARY_WEIGHT))


@dataclass(frozen=True, eq=False)
class DenseRetriever:
    """Vectors of chunks."""

    chunks: Sequence[Chunk]
    index: DenseIndex
    embedder: Embedder

    def __call__(self, query: str, top_k: int) -> list[Hit]:
        if not query.strip() or not len(self.index):
            return []
        vector = self.embedder([query], "query")[0]
        return _hits(self.chunks, self.index.search(vector, top_k))


def _hits(chunks: Sequence[Chunk], ranking: Ranking) -> list[Hit]:
    pairs = zip(ranking.positions.tolist(), ranking.scores.tolist(), strict=True)
    return [Hit(chunks[position], score) for position, score in pairs]


# ----------------------------------------------------------------------------------------------
# Reading
# ----------------------------------------------------------------------------------------------


def open_index(path: Path, *, verify: bool = False) -> Index:
    """Open an index; what is large stays on the disk.

    Parameters
    ----------
    path : Path
    verify : bool
        Read every file and compare it with its hash.

    Raises
    ------
    InputError
        If it is no index, of another version, or a file of it is missing, cut short or damaged.
    MissingError
        If `bm25s` is not installed.
    """
    if not path.is_dir():
        raise InputError(f"{path}: is no index: make one with rfplatform oran index")
    manifest = read_manifest(path)
    for file in manifest.files:
        place = path / file.path
        if not place.is_file():
            raise InputError(f"{place}: is missing: index the documents anew")
        changed = place.stat().st_size != file.size_bytes
        if changed or (verify and File.of(place).sha256 != file.sha256):
            raise InputError(f"{place}: was changed or cut short: index the documents anew")
    size = manifest.chunks
    return Index(
        path,
        manifest,
        StoredChunks(path / CHUNKS, size),
        Bm25Index.load(path, manifest.bm25, size),
        None if manifest.dense is None else DenseIndex.load(path, size),
        Glossary.read(path / GLOSSARY),
    )


# ----------------------------------------------------------------------------------------------
# Writing
# ----------------------------------------------------------------------------------------------


def build_index(
    paths: Sequence[Path],
    out: Path,
    *,
    size: int = SIZE,
    overlap: int = OVERLAP,
    bm25: Bm25 = Bm25(),  # noqa: B008  (frozen)
    embedder: Embedder | None = None,
    dense: Dense = Dense(),  # noqa: B008  (frozen)
    cache: EmbeddingCache | None = None,
    licence: str = "",
    keep: bool = False,
    remove: Sequence[str] = (),
    report: Callable[[str], None] | None = None,
    progress: Progress | None = None,
    on_fault: Callable[[InputError], None] | None = None,
) -> Index:
    """Make an index of documents, or bring one up to date.

    Where `out` is an index, only files that are new or were changed are read, and only chunks that
    are new are embedded. The old index stays as it was until the new one is whole.

    Parameters
    ----------
    paths : sequence of Path
        Files and folders, see `rfplatform.documents.read`. May be empty with `keep`.
    out : Path
    size, overlap : int
        Of the chunks, in characters.
    bm25 : Bm25
    embedder : Embedder, optional
        Makes vectors, too.
    dense : Dense
    cache : EmbeddingCache, optional
        Where vectors are kept; the user's own by default.
    licence : str
        Of documents that state none.
    keep : bool
        Keep what the index holds beside `paths`; otherwise it holds these alone afterwards.
    remove : sequence of str
        Names of files to leave out, with all that was read from them.
    report : callable, optional
        Told what is done next.
    progress : callable, optional
        Called with how many chunks are embedded, and how many there are.
    on_fault : callable, optional
        Given the error of each file that can't be read; without it the first ends the work.

    Raises
    ------
    InputError
        If a file can't be read, there is nothing to index, `out` is something else, or there is
        no file of a name in `remove`.
    MissingError
        If a library is not installed.
    """
    tell = report or (lambda _: None)
    old = _old(out)
    found = _wanted(paths, old, licence, keep=keep, remove=remove, report=report)
    documents: list[tuple[IndexedSource, Document]] = []
    for number, (source, path) in enumerate(found, start=1):
        if path is None or (old is not None and source in old.manifest.sources):
            read: Iterable[Document] = _read_before(old, source)
        else:
            tell(f"Reading {source.name} ({number:,} of {len(found):,})")
            read = _read(source, path, on_fault)
        documents += [(source, document) for document in read]
    if not documents:
        raise InputError("nothing to index: no document could be read")
    documents.sort(key=lambda pair: pair[1].name)
    with staged(out, overwrite=True) as partial:
        partial.mkdir()
        tell("Cutting chunks")
        manifest, own_chunks = _write_texts(partial, documents, size, overlap)
        glossary = Glossary.of_documents(document for _, document in documents)
        del documents
        glossary.write(partial / GLOSSARY)
        tell(f"Counting the words of {len(own_chunks):,} chunks")
        bm25.build(own_chunks).save(partial)
        made = None
        if embedder is not None:
            tell(f"Embedding {len(own_chunks):,} chunks")
            vectors = dense.build(own_chunks, embedder, cache or EmbeddingCache.default(), progress)
            vectors.save(partial)
            made = DenseMade(embedder.name, dense)
        files = tuple(File.of(place) for place in sorted(partial.iterdir()))
        replace(manifest, bm25=bm25, dense=made, files=files).write(partial)
    return open_index(out)


def _old(out: Path) -> Index | None:
    """The index that is to be brought up to date; a folder with anything else is refused."""
    if (out / MANIFEST).is_file():
        return open_index(out)
    require_free(out, overwrite=False)
    return None


def _wanted(
    paths: Sequence[Path],
    old: Index | None,
    licence: str,
    *,
    keep: bool,
    remove: Sequence[str],
    report: Callable[[str], None] | None,
) -> list[tuple[IndexedSource, Path | None]]:
    """The files of which the index is to be, by name; without a path what it holds already."""
    given: tuple[Source, ...] = () if keep and not paths else sources(paths, report=report)
    found: dict[str, tuple[IndexedSource, Path | None]] = {}
    if old is not None and keep:
        found = {source.name: (source, None) for source in old.manifest.sources}
    for source in given:
        own = IndexedSource(source.name, source.sha256, licence, READERS_VERSION)
        found[source.name] = (own, source.path)
    for name in remove:
        if name not in found:
            raise InputError(f'no file "{name}" is in the index: it can\'t be removed')
        del found[name]
    return [found[name] for name in sorted(found)]


def _read_before(old: Index | None, source: IndexedSource) -> list[Document]:
    """What the old index holds of a file that has not changed since."""
    if old is None:
        return []
    return [old.document(d.name) for d in old.documents if d.source == source.name]


def _read(
    source: IndexedSource, path: Path, on_fault: Callable[[InputError], None] | None
) -> Iterable[Document]:
    try:
        return read_document(path, source.name, source.licence)
    except InputError as fault:
        if on_fault is None:
            raise
        on_fault(fault)
        return ()


def _write_texts(
    folder: Path, documents: Sequence[tuple[IndexedSource, Document]], size: int, overlap: int
) -> tuple[Manifest, list[Chunk]]:
    cut = [chunks(document, size=size, overlap=overlap) for _, document in documents]
    own_chunks = list(chain.from_iterable(cut))
    write_chunks(own_chunks, folder / CHUNKS)
    write_sections(chain.from_iterable(d.sections for _, d in documents), folder / SECTIONS)
    listed, first_section, first_chunk = [], 0, 0
    for (source, document), own in zip(documents, cut, strict=True):
        listed.append(
            IndexedDocument(
                document.name,
                document.title,
                document.version,
                document.licence,
                document.sha256,
                source.name,
                document.notes,
                first_section,
                len(document.sections),
                first_chunk,
                len(own),
            )
        )
        first_section += len(document.sections)
        first_chunk += len(own)
    read_from = sorted({source.name: source for source, _ in documents}.items())
    manifest = Manifest(
        size, overlap, Bm25(), None, tuple(source for _, source in read_from), tuple(listed)
    )
    return manifest, own_chunks


# ----------------------------------------------------------------------------------------------
# The registry
# ----------------------------------------------------------------------------------------------


def index_artifact(
    index: Index, name: str, parents: Sequence[str] = ()
) -> tuple[Artifact, dict[str, Path]]:
    """An index as the registry keeps it, and where its files are.

    Parameters
    ----------
    index : Index
    name : str
        Such as "indexes/our-specs"; the version is the beginning of its contents' hash.
    parents : sequence of str
        Its sources in the registry, where they are there. Their hashes are among the facts anyway.

    Returns
    -------
    artifact : Artifact
    local : dict of str to Path
        For `Registry.add`.
    """
    manifest = index.manifest
    local = {name: index.path / name for name in (MANIFEST, *(f.path for f in manifest.files))}
    files = (File.of(index.path / MANIFEST), *manifest.files)
    licences = sorted({document.licence for document in index.documents} - {""})
    artifact = Artifact(
        name,
        # The manifest tells every other file's hash.
        files[0].sha256[:16],
        "dataset",
        files,
        tuple(parents),
        title=f"Index of {len(index.documents):,} documents",
        licence=" AND ".join(licences),
        schema="rfplatform.retrieval.index: JSON, Arrow and NumPy arrays",
        config={key: manifest.to_dict()[key] for key in ("size", "overlap", "bm25", "dense")},
        facts={
            "counts": manifest.to_dict()["counts"],
            "sources": {source.name: source.sha256 for source in manifest.sources},
        },
    )
    return artifact, local
