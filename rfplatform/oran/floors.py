"""Floors: what is scored with no knowledge of O-RAN, from the questions' shape or from word counts.

The options of ORAN-Bench-13K give much away: the right one is often the longest, and its place is
not chance, most of all in questions that ask what is NOT the case. A model is worth what it scores
above these. Every floor tells the credit of each question, from 0 to 1; where several options are
equally good by a floor's rule, the credit is shared among them, which is what choosing one of them
blindly is worth.

A floor that learns is asked about questions of which it saw neither the row nor another with the
same words.
"""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from rfplatform.errors import InputError, MissingError
from rfplatform.oran.questions import Question
from rfplatform.shipped import DATA_VARIABLE, data_folder

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from scipy.sparse import csr_array

    FloatArray: TypeAlias = NDArray[np.float64]

Floor: TypeAlias = "Callable[[Sequence[Question]], FloatArray]"
"""From questions to the credit of each, shape (n,)."""

FOLDS = 5
BEST_CHUNKS = 3
"""An option's evidence is the mean score of so many chunks."""

OPEN_DOCUMENTS = "open_docs.jsonl.gz"
CHUNK_CHARACTERS, CHUNK_STEP = 1536, 1280
"""As the passages that the questions were made from: 1,536 characters, 256 of them overlapping."""

_WORD = re.compile(r"[a-z0-9]+")
_SCORES_AT_ONCE = 4_000_000


# ----------------------------------------------------------------------------------------------
# By rule
# ----------------------------------------------------------------------------------------------


def guess(questions: Sequence[Question]) -> FloatArray:
    """Any of the options; nothing for a row without options."""
    return np.array([1.0 / len(q.options) if q.options else 0.0 for q in questions])


def always(questions: Sequence[Question], number: int) -> FloatArray:
    """The option of that number, from 1, also where a row has a key and no options."""
    return np.array([float(q.answer == number - 1) for q in questions])


def longest_option(questions: Sequence[Question]) -> FloatArray:
    """The option with the most characters."""
    options = _Options(questions)
    return options.credit(np.array([len(text) for text in options.texts], float))


# ----------------------------------------------------------------------------------------------
# By what options look like
# ----------------------------------------------------------------------------------------------


def surface_logit(questions: Sequence[Question], *, position: bool = False) -> FloatArray:
    """The option that a logistic fit on surface features likes best.

    Features of an option are its length, alone and against the other options', how many of its
    words are in the question and in the other options, and whether it has digits, capitals or
    stands for all or none of the others; each once for all questions and once more for those that
    ask what is NOT the case. Fitted and asked in five folds; questions of one group are in one.

    Parameters
    ----------
    questions : sequence of Question, length n
        All there are: a small draw is too little to fit on. Take the credits of the draw from
        those of all.
    position : bool
        Also the options' places, which tells nothing once they are shuffled.

    Returns
    -------
    ndarray, shape (n,)
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GroupKFold
    from threadpoolctl import threadpool_limits

    options = _Options(questions)
    groups = np.unique([q.group for q in questions], return_inverse=True)[1][options.owner]
    folds = min(FOLDS, np.unique(groups).size)
    if folds < 2 or options.right.all():  # nothing to learn from
        return guess(questions)
    features = options.surface()
    if position:
        features = np.hstack([features, np.eye(int(options.place.max()) + 1)[options.place]])
    negated = np.array([q.negated for q in questions])[options.owner]
    features = options.centred(np.hstack([features, features * negated[:, None]]))
    features /= np.maximum(features.std(axis=0), 1e-9)
    liking = np.empty(len(features))
    fit = LogisticRegression(solver="newton-cholesky")
    with threadpool_limits(1, user_api="blas"):  # 20 columns: a second thread only waits
        for known, asked in GroupKFold(folds).split(features, groups=groups):
            fit.fit(features[known], options.right[known])
            liking[asked] = fit.decision_function(features[asked])
    return options.credit(liking)


# ----------------------------------------------------------------------------------------------
# By the words of documents
# ----------------------------------------------------------------------------------------------


def bm25_evidence(questions: Sequence[Question], chunks: Sequence[str]) -> FloatArray:
    """The option that, with its question, finds the best chunks of some documents.

    An option is worth the mean BM25 score of its best three chunks, asked for with the words of
    the question and its own. All words count, "the" and "of" too, as the floor is not meant to
    find anything: what it scores is mostly that the right option says more.

    Parameters
    ----------
    questions : sequence of Question, length n
    chunks : sequence of str
        Of documents; never of the benchmark itself.

    Returns
    -------
    ndarray, shape (n,)

    Raises
    ------
    MissingError
        If `bm25s` or `PyStemmer` is not installed.
    """
    options = _Options(questions)
    best = min(BEST_CHUNKS, len(chunks))
    if not best:
        return guess(questions)
    weights, count = _bm25(chunks)
    asked, own = count([q.text for q in questions]), count(options.texts)
    worth = np.empty(len(options.texts))
    batch = max(_SCORES_AT_ONCE // len(chunks), 1)
    for begin in range(0, worth.size, batch):
        part = slice(begin, begin + batch)
        scores = ((asked[options.owner[part]] + own[part]) @ weights).toarray()
        worth[part] = np.partition(scores, -best, axis=1)[:, -best:].mean(axis=1)
    return options.credit(worth)


def open_chunks(source: Path | None = None) -> tuple[str, ...]:
    """Open documents on O-RAN, in windows as long as the passages that the questions come from.

    Parameters
    ----------
    source : Path, optional
        JSON lines with a "text" each, gzipped; by default ``oran/open_docs.jsonl.gz`` in the data
        folder.

    Raises
    ------
    MissingError
        If it is not there.
    InputError
        If it is something else.
    """
    path = data_folder() / "oran" / OPEN_DOCUMENTS if source is None else source
    if not path.is_file():
        raise MissingError(
            f"{path} is not there: set {DATA_VARIABLE} to a folder that holds oran/{path.name}"
        )
    try:
        with gzip.open(path, "rt", encoding="utf-8") as file:
            texts = [str(json.loads(line)["text"]) for line in file]
    except (OSError, EOFError, ValueError, KeyError, TypeError) as error:
        raise InputError(f'{path}: is no gzipped JSON lines with a "text" each') from error
    return tuple(
        text[begin : begin + CHUNK_CHARACTERS]
        for text in texts
        for begin in range(0, max(len(text) - CHUNK_CHARACTERS + CHUNK_STEP, 1), CHUNK_STEP)
    )


def _open_evidence(questions: Sequence[Question]) -> FloatArray:
    return bm25_evidence(questions, open_chunks())


def _bm25(chunks: Sequence[str]) -> tuple[csr_array, Callable[[Sequence[str]], csr_array]]:
    """Scores of each word in each chunk, (words, chunks), and what counts the words of texts.

    Their product is what `bm25s` tells of one query at a time.
    """
    try:
        import bm25s
        import Stemmer
    except ImportError:
        raise MissingError(
            "the libraries bm25s and PyStemmer are not installed: pip install 'rfplatform[oran]'"
        ) from None
    from scipy.sparse import csc_array, csr_array

    stemmer = Stemmer.Stemmer("english")

    def words(texts: Sequence[str]) -> Any:  # noqa: ANN401  (lists of str)
        return bm25s.tokenize(
            list(texts), stopwords=None, stemmer=stemmer, return_ids=False, show_progress=False
        )

    vocabulary: dict[str, int] = {}
    ids = [[vocabulary.setdefault(word, len(vocabulary)) for word in row] for row in words(chunks)]
    index = bm25s.BM25()
    index.index((ids, vocabulary), create_empty_token=False, show_progress=False)
    columns = tuple(index.scores[name] for name in ("data", "indices", "indptr"))
    weights = csc_array(columns, shape=(len(chunks), len(vocabulary))).T.tocsr()

    def count(texts: Sequence[str]) -> csr_array:
        known = [[vocabulary[word] for word in row if word in vocabulary] for row in words(texts)]
        ends = np.cumsum([0, *map(len, known)])
        flat = np.fromiter((word for row in known for word in row), np.int64)
        shape = (len(texts), len(vocabulary))
        return csr_array((np.ones(flat.size, np.float32), flat, ends), shape=shape)

    return weights, count


# ----------------------------------------------------------------------------------------------
# All options in a row
# ----------------------------------------------------------------------------------------------


class _Options:
    """The options of all questions, one after the other."""

    def __init__(self, questions: Sequence[Question]) -> None:
        self.questions = questions
        self.sizes = np.array([len(q.options) for q in questions])
        self.owner = np.repeat(np.arange(len(questions)), self.sizes)
        ends = np.cumsum(self.sizes)
        self.place = np.arange(self.owner.size) - np.repeat(ends - self.sizes, self.sizes)
        answers = np.array([q.answer for q in questions])
        self.right = self.place == answers[self.owner]
        self.texts = [option for q in questions for option in q.options]

    def credit(self, worth: FloatArray) -> FloatArray:
        """What choosing the option of the highest worth gives, shape (questions,)."""
        best = np.full(self.sizes.size, -np.inf)
        np.maximum.at(best, self.owner, worth)
        chosen = worth >= best[self.owner]
        count = self._sum(chosen)
        found = np.zeros(self.sizes.size)
        np.divide(self._sum(chosen & self.right), count, out=found, where=count > 0)
        return found

    def centred(self, features: FloatArray) -> FloatArray:
        """Features less their mean over the question's options: only options are compared."""
        sums = np.stack([self._sum(column) for column in features.T], axis=1)
        means: FloatArray = sums / np.maximum(self.sizes, 1)[:, None]
        return features - means[self.owner]

    def surface(self) -> FloatArray:
        """What options look like, shape (options, 10)."""
        lengths = np.array([len(text) for text in self.texts], float)
        lower = [text.lower() for text in self.texts]
        words = [_WORD.findall(text) for text in lower]
        counts = np.array([len(found) for found in words], float)
        capitals = np.array([sum(map(str.isupper, text)) for text in self.texts], float)
        asked, others = self._shared(words)
        return np.stack(
            [
                np.log1p(lengths),
                lengths / self._mean(lengths),
                self._is_longest(lengths),
                counts / self._mean(counts),
                asked,
                others,
                np.array(["all of the above" in text for text in lower], float),
                np.array(["none of the above" in text for text in lower], float),
                np.array([any(map(str.isdigit, text)) for text in lower], float),
                capitals / np.maximum(lengths, 1.0),
            ],
            axis=1,
        )

    def _shared(self, words: Sequence[Sequence[str]]) -> tuple[FloatArray, FloatArray]:
        """Share of an option's words in the question, and its likeness to the other options.

        Likeness is the mean over the others of the words in both by the words in either.
        """
        asked, likeness = [], []
        begin = 0
        for question, size in zip(self.questions, self.sizes, strict=True):
            own = [set(found) for found in words[begin : begin + size]]
            begin += size
            text = set(_WORD.findall(question.text.lower()))
            alike = np.zeros((size, size))
            for i in range(size):
                asked.append(len(own[i] & text) / max(len(own[i]), 1))
                for j in range(i):
                    both = len(own[i] & own[j])
                    alike[i, j] = alike[j, i] = both / max(len(own[i]) + len(own[j]) - both, 1)
            likeness += (alike.sum(axis=1) / max(size - 1, 1)).tolist()
        return np.array(asked), np.array(likeness)

    def _is_longest(self, lengths: FloatArray) -> FloatArray:
        most = np.zeros(self.sizes.size)
        np.maximum.at(most, self.owner, lengths)
        return (lengths >= most[self.owner]).astype(float)

    def _mean(self, values: FloatArray) -> FloatArray:
        """Of each option's question; not 0."""
        means: FloatArray = self._sum(values) / np.maximum(self.sizes, 1)
        return np.maximum(means, 1e-9)[self.owner]

    def _sum(self, values: NDArray[Any]) -> FloatArray:
        return np.bincount(self.owner, values, self.sizes.size).astype(float)


FLOORS: Mapping[str, Floor] = MappingProxyType(
    {
        **{f"always-{number}": partial(always, number=number) for number in (1, 2, 3, 4)},
        "longest-option": longest_option,
        "bm25-evidence": _open_evidence,
        "surface-logit": surface_logit,
        "surface-logit+position": partial(surface_logit, position=True),
    }
)
"""By name; "bm25-evidence" looks into `open_chunks`."""
