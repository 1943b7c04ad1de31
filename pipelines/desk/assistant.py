"""Questions to an index, as the dashboard puts them: kept, limited in time, and asked but once."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from pipelines.desk.assistant_answers import Kept, find_answer, keep, worded
from pipelines.desk.assistant_indexes import Found
from pipelines.desk.workspace import Workspace
from pipelines.oran import search as searching
from rfplatform.errors import InputError, MissingError, RfplatformError, WorkerError

MODEL_VARIABLE = "RFPLATFORM_MODEL"
URL_VARIABLE = "RFPLATFORM_MODEL_BASE_URL"
"""The model that is asked, PROVIDER/NAME, and its server's URL: the operator's to say alone."""

TIME_LIMIT_S = 180.0
"""Of a question, retries and a second try of the model included."""

AT_ONCE = 4
"""Questions, each of which is a process; the next one waits for its turn."""

PASSAGES = 10
"""That a search shows."""

Request = Mapping[str, Any]
Ask = Callable[[Request, float], Mapping[str, Any]]

_ERRORS: Mapping[int, type[RfplatformError]] = {
    kind.exit_code: kind for kind in (InputError, MissingError)
}
_turns = threading.BoundedSemaphore(AT_ONCE)


@dataclass(frozen=True)
class Model:
    """The language model that the server's operator has chosen.

    Attributes
    ----------
    name : str
        PROVIDER/NAME.
    base_url : str or None
        Of its server, where that is not the provider's usual one.
    """

    name: str
    base_url: str | None = None


def configured_model() -> Model | None:
    """The one that the environment names; None where it names none."""
    name = os.environ.get(MODEL_VARIABLE, "").strip()
    if not name:
        return None
    return Model(name, os.environ.get(URL_VARIABLE, "").strip() or None)


def search(ws: Workspace, index: Found, words: str, most: int = PASSAGES) -> dict[str, Any]:
    """Passages that answer to some words, see `pipelines.oran.search.main`.

    Raises
    ------
    InputError
        If there are no words, or the index is damaged.
    MissingError
        If a library is not there.
    """
    try:
        return searching.main(searching.Config(words, index.path, most))
    except InputError as error:
        raise InputError(ws.own_words(error)) from error


def ask(
    ws: Workspace,
    model: Model,
    index: Found,
    question: str,
    *,
    again: bool = False,
    anyway: bool = False,
    time_limit_s: float = TIME_LIMIT_S,
    run: Ask | None = None,
) -> Kept:
    """Answer a question, and keep the answer; one that is kept is not asked again.

    Parameters
    ----------
    ws : Workspace
    model : Model
    index : Found
    question : str
    again : bool
        Ask even where an answer is kept, and keep the new one in its place.
    anyway : bool
        Ask the model even where the passages have too little to do with the question.
    time_limit_s : float
    run : callable, optional
        What answers a request within a time; by default a process of its own, see
        `pipelines.desk.assistant_process`.

    Raises
    ------
    InputError, MissingError
        As `pipelines.oran.ask.main`; then nothing is kept.
    WorkerError
        If the answer takes too long, or its process fails.
    """
    question = worded(question)
    known = None if again else find_answer(ws, index.name, question)
    if known is not None:
        return known
    request = {
        "question": question,
        "index": str(index.path),
        "model": model.name,
        "base_url": model.base_url,
        "anyway": anyway,
    }
    with _turns:
        told = (run or in_a_process)(request, time_limit_s)
    if "error" in told:
        words = ws.own_words(told["error"])
        if model.base_url is not None:  # the operator's business
            words = words.replace(f" at {model.base_url}", "")
        raise _ERRORS.get(int(told["exit_code"]), WorkerError)(words)
    answer = Kept(index.name, index.digest, question, time.time(), told["answer"])
    keep(ws, answer)
    return answer


def in_a_process(request: Request, time_limit_s: float) -> Mapping[str, Any]:
    """What a process of its own makes of a request; it ends with the time.

    Whatever else the server does is no concern of the engine for language models then, and
    nothing that a model or a provider's library does can hold the server up.

    Raises
    ------
    WorkerError
        If there is no answer in time, or none at all.
    """
    with subprocess.Popen(
        [sys.executable, "-m", "pipelines.desk.assistant_process"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        encoding="utf-8",
        start_new_session=True,
    ) as child:
        try:
            out, _ = child.communicate(json.dumps(request), timeout=time_limit_s)
        except subprocess.TimeoutExpired:
            raise WorkerError(
                f"{request['model']} gave no answer within {time_limit_s:g} s: try again, or ask "
                "who runs this server"
            ) from None
        finally:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(child.pid, signal.SIGKILL)
    try:
        found = json.loads(out)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise WorkerError("the process that asks the model ended without an answer; try again")
    return found
