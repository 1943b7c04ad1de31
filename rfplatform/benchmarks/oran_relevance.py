"""Which questions the documents do not answer, told before any model is asked.

Questions of the open documents are asked twice: with their source in the index, and with it
removed. The source is the document, or its whole project: without the document alone, others of
its project often say the same. Questions are of two kinds: made of the documents' own sentences
("The DU sends X to Y." -> "What sends X to Y?"), and written by hand in other words, which
are harder to find and set the threshold. Beside them are questions of everyday life, and those of
ORAN-Bench-13K, hardly any of which the open documents answer (they hold the words of wrong options
as often as those of right ones). "A small index" is that of one project, with the questions asked
of it and of another.

The threshold is set on one half of the documents (`calibrated`): below it lie `FALSE_REFUSALS` of
the questions written by hand. All scores are of the other half, with this threshold; the measure
itself was chosen with both halves in sight.
"""

from __future__ import annotations

import hashlib
import random
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Literal

import numpy as np
import numpy.typing as npt

from rfplatform.benchmark import Benchmark, Case, Metric, Predictor
from rfplatform.documents.chunk import Chunk, chunks
from rfplatform.documents.document import Document
from rfplatform.documents.read import read_document
from rfplatform.errors import MissingError
from rfplatform.oran.questions import load_questions
from rfplatform.oran.relevance import BEST_OF, WordShare
from rfplatform.retrieval.bm25 import Bm25, Bm25Index
from rfplatform.retrieval.glossary import Glossary
from rfplatform.retrieval.retriever import Hit
from rfplatform.shipped import DATA_VARIABLE, data_folder
from rfplatform.units import FloatArray

FALSE_REFUSALS = 0.05
"""Of the questions by hand that the documents answer, on the half that sets the threshold."""
MADE_PER_DOCUMENT = 2
FROM_ORAN_BENCH = 300
OPEN_DOCUMENTS = "open_docs.jsonl.gz"

Removed = Literal["", "document", "project", "all else"]
"""What of the documents is left out of the index: of one, its project, or all but its project."""

BY_HAND: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "o-ran-sc/doc/docs/architecture/architecture.rst": (
            "Which protocol layers does the O-CU host?",
            "Over which interface does the near-RT RIC collect data?",
        ),
        "o-ran-sc/doc/docs/license.rst": (
            "Under which licence is the documentation of the O-RAN SC?",
        ),
        "o-ran-sc/doc/docs/user-experience/iosmcn/iosmcn.rst": (
            "Why did IOS-MCN decide against ONOS-Config?",
            "Which database did IOS-MCN take for persistency?",
        ),
        "o-ran-sc/nonrtric/docs/overview.rst": (
            "Over which interface do rApps talk to the SMO?",
            "What is A1 used for between the two RICs?",
            "What is the main goal of the non-real-time RIC?",
            "Which applications run on the non-RT RIC platform?",
        ),
        "o-ran-sc/nonrtric/docs/requirements.rst": (
            "Does the O1 interface terminate in the NONRTRIC?",
            "Can the non-RT RIC train models?",
        ),
        "o-ran-sc/nonrtric/docs/service-exposure/se-overview.rst": (
            "What is the O-RAN security architecture meant to protect?",
        ),
        "o-ran-sc/nonrtric/docs/use-cases.rst": (
            "What does the health check use case do with policies?",
            "What happens when the fronthaul link between O-DU and O-RU is reset?",
        ),
        "o-ran-sc/o-du-phy/docs/Architecture-Overview_fh.rst": (
            "Does the fronthaul library implement the M-plane?",
            "What are ptp4l and phc2sys for?",
        ),
        "o-ran-sc/o-du-phy/docs/PTP-configuration_fh.rst": (
            "Which kernel version does PTP for Linux need?",
            "How can I check that my network card supports hardware timestamps?",
        ),
        "o-ran-sc/o-du-phy/docs/Setup-Configuration_fh.rst": (
            "Which network cards can a front haul test server use?",
            "Which BIOS settings does a test server need?",
        ),
        "o-ran-sc/o-du-phy/docs/ecpri_ddp_profile.rst": (
            "From which DPDK version on is the wireless edge DDP package supported?",
        ),
        "o-ran-sc/o-du-phy/docs/fapi_5g_tm_overview.rst": (
            "Who defined the 5G FAPI protocol that the translator module speaks?",
            "What does the FAPI translator module use for shared memory?",
        ),
        "o-ran-sc/o-du-phy/docs/run_l1.rst": (
            "In which order must L1, FAPI TM and testmac be started?",
        ),
        "o-ran-sc/o-du-phy/docs/wls-lib.rst": (
            "Which WLS function blocks until memory blocks arrive from the remote peer?",
            "Which libraries does the wireless service library build on?",
        ),
        "o-ran-sc/oam/docs/faq.rst": ("Which browser should I use for the SDN-R user interface?",),
        "o-ran-sc/oam/docs/fault.rst": (
            "Which severity levels do alarms have in fault management?",
            "Where can I see alarms of the past?",
            "Which alarm tells that the connection to a NetConf server was lost?",
        ),
        "o-ran-sc/oam/docs/overview.rst": ("Which managed elements implement the O1 interface?",),
        "o-ran-sc/pti-o2/docs/api-docs.rst": ("On which port does the O2 REST API listen?",),
        "o-ran-sc/pti-o2/docs/release-notes.rst": (
            "When was version 2.3.0 of the INF O2 service released?",
        ),
        "o-ran-sc/pti-o2/docs/user-guide.rst": (
            "How do I get a bearer token for requests to the O2 API?",
            "How many resource pools does a standalone INF platform have?",
        ),
        "onosproject/sdran-docs/architecture.md": (
            "What does E2 termination do in the µONOS RIC?",
            "In which programming language are the services of the RIC written?",
        ),
        "onosproject/sdran-docs/oai_cu_cp.md": (
            "How do I build OAI with the RIC agent?",
            "Which service models do OAI's CU and DU implement?",
        ),
        "onosproject/sdran-docs/onos-a1t/README.md": (
            "Which A1 services does the A1 termination of SD-RAN support today?",
            "Which version of the A1 application protocol is supported?",
        ),
        "onosproject/sdran-docs/onos-exporter/README.md": (
            "Which vm.max_map_count does opensearch require?",
            "Where do the KPIs of onos-exporter go?",
        ),
        "onosproject/sdran-docs/onos-mho/README.md": (
            "Which measurement event triggers a handover in the MHO sample xApp?",
            "Does mobile handover work with real base stations?",
        ),
        "onosproject/sdran-docs/onos-mlb/README.md": (
            "Which parameter does the load balancing xApp change to move users to neighbour cells?",
            "How often does the load balancing algorithm run by default?",
            "How does onos-mlb define the load of a cell?",
        ),
        "onosproject/sdran-docs/onos-proxy/README.md": (
            "What is the sidecar proxy good for?",
            "How is the proxy added to the pod of an application?",
            "Which port of localhost does the proxy listen on?",
        ),
        "onosproject/sdran-docs/onos-rsm/README.md": (
            "What do CU nodes report to the slice management xApp?",
            "What is the largest weight that a RAN slice may have?",
            "Which schedulers can a RAN slice have?",
        ),
        "onosproject/sdran-docs/onos-uenib/README.md": (
            "What is an aspect of a UE in the UE NIB?",
        ),
        "onosproject/sdran-docs/ran-simulator/docs/topology_generator.md": (
            "How many neighbours can a cell have at most in the honeycomb topology generator?",
            "How do I generate a hexagonal grid of RAN towers?",
        ),
        "onosproject/sdran-docs/sdran-in-a-box/docs/HW_Installation_oai_ue.md": (
            "Which image tag should the OAI UE have?",
        ),
        "onosproject/sdran-docs/sdran-in-a-box/docs/Installation_OAI_nFAPI.md": (
            "Which components does RiaB deploy with the nFAPI emulator?",
        ),
        "onosproject/sdran-docs/sdran-in-a-box/docs/Installation_mon_logs.md": (
            "How do I turn on monitoring with Grafana in RiaB?",
        ),
        "onosproject/sdran-docs/sdran-in-a-box/docs/RiaB_Prerequisites.md": (
            "How much memory must a machine have to run RiaB?",
            "Which Ubuntu version does RiaB need?",
        ),
        "onosproject/sdran-docs/sdran-in-a-box/docs/Troubleshooting.md": (
            "What can I do when etcd is not working while I build RiaB?",
            "Why does the onos-consensus-db pod fail on Ubuntu 20.04?",
        ),
    }
)
"""Questions written by someone who had read the document that answers them, by that document."""

OFF_TOPIC = (
    "How long should I boil an egg so that its yolk stays soft?",
    "What is the best temperature for roasting a chicken?",
    "How do I make sourdough starter from scratch?",
    "Which spices go into garam masala?",
    "How much sugar does a pound cake need?",
    "Can I freeze cooked lasagne?",
    "What is the limitation period for breach of contract in England?",
    "Does a will need two witnesses to be valid?",
    "What is the difference between murder and manslaughter?",
    "How do I register a trademark in the European Union?",
    "When can a landlord keep the tenant's deposit?",
    "What are the grounds for divorce in California?",
    "How many players are on a volleyball team?",
    "What is the offside rule in football?",
    "Who won the men's singles at Wimbledon in 2019?",
    "How long is an Olympic swimming pool?",
    "What is a hat-trick in cricket?",
    "How do I lower my golf handicap?",
    "Which vaccine protects against measles?",
    "What are the symptoms of iron deficiency?",
    "How is high blood pressure treated?",
    "Can I take ibuprofen together with aspirin?",
    "Who wrote Pride and Prejudice?",
    "When did the Roman Empire fall?",
    "What caused the French Revolution?",
    "Which king built the palace of Versailles?",
    "How do I prune roses in winter?",
    "When should tomatoes be planted outdoors?",
    "How often does a cactus need water?",
    "What does a cat's slow blink mean?",
    "How do I teach a puppy to sit?",
    "What is the capital of Mongolia?",
    "How high is Mount Kilimanjaro?",
    "Do I need a visa to visit Japan?",
    "How does compound interest work?",
    "What is the current inflation rate in Germany?",
    "How do I change a flat bicycle tyre?",
    "Which chord progression is used in a twelve-bar blues?",
    "What is the meaning of Hamlet's soliloquy?",
    "How are stalactites formed in limestone caves?",
)
"""Questions of everyday life."""

_SENTENCE_END = re.compile(r"(?<=[.!?])\s+")
_STATEMENT = re.compile(
    r"(?:The |A |An |This )?[A-Za-z0-9`µ][\w\-`/. ]{2,40}? "
    r"(is|are|provides|supports|uses|enables|contains|defines|allows|describes|requires|handles"
    r"|manages|sends|receives|implements) (.{25,140})\."
)


@dataclass(frozen=True)
class Asked:
    """A question, and the document that answers it.

    Attributes
    ----------
    text : str
    document : str
        "" where none does.
    """

    text: str
    document: str = ""


@dataclass(frozen=True, eq=False)
class Corpus:
    """The open documents in one index, from which documents can be left out.

    Attributes
    ----------
    documents : tuple of Document
    chunks : tuple of Chunk
    bm25 : Bm25Index
    """

    documents: tuple[Document, ...]
    chunks: tuple[Chunk, ...]
    bm25: Bm25Index

    @classmethod
    def of(cls, documents: Sequence[Document]) -> Corpus:
        """That of some documents."""
        cut = tuple(chunk for document in documents for chunk in chunks(document))
        return cls(tuple(documents), cut, Bm25().build(cut))

    @cached_property
    def glossary(self) -> Glossary:
        """That by which queries are expanded."""
        return Glossary.shipped()

    def relevance(self, asked: Asked, removed: Removed = "") -> float:
        """The measure under test, of the best hits that are left."""
        kept = self.kept(asked.document, removed)
        measure = WordShare(
            lambda token: self.frequency(token, kept), int(kept.sum()), self.glossary.expand
        )
        return measure(asked.text, self.hits(asked.text, kept, BEST_OF))

    def best_score(self, asked: Asked, removed: Removed = "") -> float:
        """BM25's score of the best hit that is left: the baseline."""
        hits = self.hits(asked.text, self.kept(asked.document, removed), 1)
        return hits[0].score if hits else 0.0

    def kept(self, document: str, removed: Removed) -> npt.NDArray[np.bool_]:
        """Which chunks are left."""
        if not removed:
            return np.ones(len(self.chunks), dtype=bool)
        if removed == "document":
            return np.asarray(self._names != document)
        own = np.asarray(self._projects == project(document))
        return own if removed == "all else" else ~own

    def hits(self, query: str, kept: npt.NDArray[np.bool_], top_k: int) -> list[Hit]:
        """The best that are left. Words keep the weights that they have in the whole index."""
        found = self.bm25.search(query, len(self.chunks), self.glossary.expand(query))
        left = kept[found.positions]
        best = zip(found.positions[left][:top_k], found.scores[left][:top_k], strict=True)
        return [Hit(self.chunks[position], float(score)) for position, score in best]

    def frequency(self, token: str, kept: npt.NDArray[np.bool_]) -> int:
        """How many of the chunks that are left hold a token."""
        column = self.bm25.vocabulary.get(token)
        if column is None:
            return 0
        begin, end = self.bm25.arrays["indptr"][column : column + 2]
        return int(kept[self.bm25.arrays["indices"][begin:end]].sum())

    @cached_property
    def _names(self) -> npt.NDArray[np.str_]:
        return np.array([chunk.document for chunk in self.chunks])

    @cached_property
    def _projects(self) -> npt.NDArray[np.str_]:
        return np.array([project(chunk.document) for chunk in self.chunks])


@dataclass(frozen=True, eq=False)
class Trial:
    """Questions that are answered, and questions that are not.

    Attributes
    ----------
    corpus : Corpus
    calibration : tuple of Asked
        By hand, of the half that sets the threshold.
    answered, unanswered : tuple of Asked
        Of the other half.
    removed : str
        What is left out for the unanswered questions.
    left_out : str
        What is left out for the answered ones.
    """

    corpus: Corpus
    calibration: tuple[Asked, ...]
    answered: tuple[Asked, ...]
    unanswered: tuple[Asked, ...]
    removed: Removed = ""
    left_out: Removed = ""


@dataclass(frozen=True, eq=False)
class Scores:
    """A measure of all questions of a trial, and the threshold below which they are refused."""

    answered: FloatArray
    unanswered: FloatArray
    threshold: float

    @property
    def auc(self) -> float:
        """How often an answered question scores above an unanswered one; ties count half."""
        more = self.answered[:, None] - self.unanswered[None, :]
        return float(np.mean((more > 0) + 0.5 * (more == 0)))


def project(document: str) -> str:
    """The project of a document of the open ones: what is removed with it."""
    parts = document.rpartition("#")[2].split("/")
    # One source holds the documents of many projects, a folder each.
    return "/".join(parts[: 3 if parts[:2] == ["onosproject", "sdran-docs"] else 2])


def half(document: str) -> int:
    """In which half of the documents one is, by its name: 0 sets the threshold, 1 is scored."""
    return hashlib.sha256(document.rpartition("#")[2].encode()).digest()[0] % 2


def asked_by_hand(documents: Sequence[Document]) -> list[Asked]:
    """The questions of `BY_HAND` whose documents are there."""
    names = {document.name.rpartition("#")[2]: document.name for document in documents}
    return [
        Asked(text, names[name])
        for name, texts in BY_HAND.items()
        if name in names
        for text in texts
    ]


def made_of(documents: Sequence[Document], seed: int = 1) -> list[Asked]:
    """Questions made of statements, a few a document: their subjects are asked for.

    A statement that another document makes as well is left out.
    """
    made: dict[str, list[str]] = {}
    times: dict[str, int] = {}
    for document in documents:
        texts = (b.text for s in document.sections for b in s.blocks if b.kind == "text")
        sentences = {x for text in texts for x in _SENTENCE_END.split(" ".join(text.split()))}
        for sentence in sorted(sentences):
            if match := _STATEMENT.fullmatch(sentence):
                question = f"What {match[1]} {match[2]}?"
                times[question] = times.get(question, 0) + 1
                made.setdefault(document.name, []).append(question)
    rng = random.Random(seed)  # noqa: S311  (a draw that can be repeated, no secret)
    drawn: list[Asked] = []
    for name, questions in made.items():
        own = [question for question in questions if times[question] == 1]
        drawn += [Asked(q, name) for q in rng.sample(own, min(MADE_PER_DOCUMENT, len(own)))]
    return drawn


def calibrated(corpus: Corpus) -> float:
    """The threshold of the measure under test: `LEAST_RELEVANCE`, but for rounding."""
    scores = [corpus.relevance(asked) for asked in _calibration(corpus.documents)]
    return threshold_of(np.array(scores))


def _astray(by_hand: Sequence[Asked]) -> list[Asked]:
    """The same questions, each asked of another project."""
    others = {project(q.document): q.document for q in by_hand}
    names = sorted(others)
    return [
        Asked(q.text, others[names[(names.index(project(q.document)) + 1) % len(names)]])
        for q in by_hand
    ]


def threshold_of(scores: FloatArray) -> float:
    """Below which `FALSE_REFUSALS` of answered questions lie."""
    return float(np.quantile(scores, FALSE_REFUSALS))


def _calibration(documents: Sequence[Document]) -> tuple[Asked, ...]:
    return tuple(q for q in asked_by_hand(documents) if half(q.document) == 0)


def _predictor(name: str, measure: Callable[[Corpus, Asked, Removed], float]) -> Predictor[Scores]:
    def predict(trial: Trial) -> Scores:
        def scores(questions: Sequence[Asked], removed: Removed = "") -> FloatArray:
            return np.array([measure(trial.corpus, q, removed) for q in questions])

        return Scores(
            scores(trial.answered, trial.left_out),
            scores(trial.unanswered, trial.removed),
            threshold_of(scores(trial.calibration)),
        )

    return Predictor(name, predict)


def open_documents() -> tuple[Document, ...]:
    """The open O-RAN documents of the data folder.

    Raises
    ------
    MissingError
        If they are not there.
    """
    path = _folder() / OPEN_DOCUMENTS
    if not path.is_file():
        raise MissingError(f"{path} is not there: set {DATA_VARIABLE} to the folder of oran/")
    return read_document(path)


def _folder() -> Path:
    return data_folder() / "oran"


def _cases() -> Iterator[Case]:
    documents = open_documents()
    corpus = Corpus.of(documents)
    by_hand, made = asked_by_hand(documents), made_of(documents)
    calibration = _calibration(documents)
    by_hand, made = ([q for q in some if half(q.document) == 1] for some in (by_hand, made))
    bench = [q.text for q in load_questions() if q.usable]
    bench = random.Random(1).sample(bench, min(FROM_ORAN_BENCH, len(bench)))  # noqa: S311
    shared = f"{len(calibration)} questions set the threshold"

    def case(
        name: str,
        answered: Sequence[Asked],
        others: Sequence[Asked],
        removed: Removed = "",
        left_out: Removed = "",
    ) -> Case:
        trial = Trial(corpus, calibration, tuple(answered), tuple(others), removed, left_out)
        note = f"{len(answered)} answered, {len(others)} not; {shared}"
        return Case(name, trial, trial, note=note)

    yield case("by hand, document removed", by_hand, by_hand, "document")
    yield case("by hand, project removed", by_hand, by_hand, "project")
    yield case("made, document removed", made, made, "document")
    yield case("made, project removed", made, made, "project")
    yield case("off topic", by_hand, [Asked(text) for text in OFF_TOPIC])
    yield case("a small index", by_hand, _astray(by_hand), "all else", "all else")
    yield case("ORAN-Bench-13K", by_hand, [Asked(text) for text in bench])


def _refused(part: Literal["answered", "unanswered"]) -> Callable[[Scores, Trial], float]:
    def share(scores: Scores, _: Trial) -> float:
        return 100.0 * float(np.mean(getattr(scores, part) < scores.threshold))

    return share


ORAN_RELEVANCE: Benchmark[Scores] = Benchmark(
    name="oran:relevance",
    summary="Which questions the open documents do not answer, told before a model is asked",
    dataset=_cases,
    metrics=(
        Metric("AUC", "", lambda scores, _: scores.auc, better="higher"),
        Metric("answered, but refused", "%", _refused("answered")),
        Metric("unanswered, and refused", "%", _refused("unanswered"), better="higher"),
    ),
    baseline=_predictor("BM25's best score", Corpus.best_score),
    subject=_predictor("word share", Corpus.relevance),
)
