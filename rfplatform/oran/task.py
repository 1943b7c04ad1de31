"""The inspect task ``rfplatform/oran``: ORAN-Bench's questions, asked with or without retrieval.

`inspect eval rfplatform/oran --model PROVIDER/NAME -T limit=100` runs it as well as
`rfplatform bench oran` does.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextvars import ContextVar
from pathlib import Path

from inspect_ai import Task, task
from inspect_ai.dataset import MemoryDataset, Sample
from inspect_ai.model import ChatMessageUser, get_model
from inspect_ai.scorer import (
    CORRECT,
    INCORRECT,
    Score,
    Scorer,
    Target,
    accuracy,
    grouped,
    scorer,
    stderr,
)
from inspect_ai.solver import Generate, Solver, TaskState, solver

from rfplatform.oran.multiple_choice import LETTERS, question_prompt, read_answer
from rfplatform.oran.opened import opened
from rfplatform.oran.providers import guard, redacted, root
from rfplatform.oran.questions import Question, load_questions, option_order, select

TELL: ContextVar[Callable[[], None] | None] = ContextVar("TELL", default=None)
"""Called after every question that is answered."""

ORDER, ANSWERED, PASSAGES, STOPPED = "order", "answered", "passages", "stop_reason"
"""Of a score: the options' order, what was answered, the chunks shown, why the answer ended."""


class AskingError(Exception):
    """A model gave no answer; the message holds no secret."""

    def __repr__(self) -> str:
        # inspect logs errors by this.
        return str(self)


@task
def oran(
    questions: str | None = None,
    subset: str = "",
    limit: int | None = None,
    orbench_1500: bool = False,
    seed: int = 1,
    as_published: bool = False,
    rag: str | None = None,
    top_k: int = 5,
) -> Task:
    """ORAN-Bench-13K, or a part of it.

    Parameters
    ----------
    questions : str, optional
        A folder with fin_E.json, fin_M.json and fin_H.json; by default the registry's.
    subset : str
        Difficulties, with commas; all by default.
    limit : int, optional
        So many questions, drawn with `seed`.
    orbench_1500 : bool
        500 of each difficulty, drawn with `seed`.
    seed : int
        Of the draw and of the options' order; another order in each epoch.
    as_published : bool
        Keep the options' order.
    rag : str, optional
        An index whose passages are shown with each question.
    top_k : int
        How many.
    """
    drawn = select(
        load_questions(Path(questions) if questions else None),
        subset=[name for name in subset.split(",") if name],
        limit=limit,
        orbench_1500=orbench_1500,
        seed=seed,
    )
    return Task(
        dataset=MemoryDataset([_sample(q) for q in drawn if q.options], name="ORAN-Bench-13K"),
        solver=ask(seed=seed, as_published=as_published, rag=rag, top_k=top_k),
        scorer=letter(),
    )


def _sample(question: Question) -> Sample:
    return Sample(
        id=question.id,
        input=question.text,
        choices=list(question.options),
        target=LETTERS[question.answer],
        metadata={"difficulty": question.difficulty},
    )


@solver
def ask(
    seed: int = 1, as_published: bool = False, rag: str | None = None, top_k: int = 5
) -> Solver:
    """Show a question, its options in the order that seed and epoch give, and what was found."""
    retrieve = _retriever(rag) if rag else None

    async def solve(state: TaskState, generate: Generate) -> TaskState:
        options = [choice.value for choice in state.choices]
        mixed = None if as_published else seed + state.epoch - 1
        order = option_order(str(state.sample_id), options, mixed)
        shown = [options[i] for i in order]
        found = retrieve(state.input_text, options, top_k) if retrieve else []
        state.metadata[ORDER] = order
        state.metadata[PASSAGES] = [name for name, _ in found]
        prompt = question_prompt(state.input_text, shown, [text for _, text in found])
        state.messages = [ChatMessageUser(content=prompt)]
        guard(get_model())
        try:
            return await generate(state)
        except Exception as error:  # noqa: BLE001  (whatever a provider's package raises)
            # inspect writes errors into its log with their causes: no secret may stand there.
            raise AskingError(redacted(root(error))) from None

    return solve


@scorer(metrics=[grouped(accuracy(), "difficulty", all="groups"), accuracy(), stderr()])
def letter() -> Scorer:
    """Whether the letter that was answered is the right option's; an unread answer is wrong."""

    async def score(state: TaskState, target: Target) -> Score:
        order: list[int] = state.metadata[ORDER]
        options = [state.choices[i].value for i in order]
        meant = read_answer(state.output.completion, options)
        option = None if meant is None else order[meant]
        if tell := TELL.get():
            tell()
        return Score(
            value=CORRECT if option == LETTERS.index(target.text) else INCORRECT,
            answer=None if meant is None else LETTERS[meant],
            metadata={
                ANSWERED: option,
                ORDER: order,
                PASSAGES: state.metadata[PASSAGES],
                STOPPED: state.output.stop_reason,
            },
        )

    return score


def _retriever(rag: str) -> Callable[[str, Sequence[str], int], list[tuple[str, str]]]:
    """What finds passages of a question: the chunks that answer to it and its options.

    Options guide the search, as in "Contextual RAG" (arXiv:2601.02382).
    """
    retriever = opened(Path(rag)).retriever

    def retrieve(question: str, options: Sequence[str], top_k: int) -> list[tuple[str, str]]:
        hits = retriever(" ".join((question, *options)), top_k)
        return [(hit.chunk.id, f"{hit.chunk.heading}\n{hit.chunk.text}") for hit in hits]

    return retrieve
