"""Language models by name, through inspect_ai: found, keyed and reachable before they are asked."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from rfplatform.errors import InputError, MissingError, unknown_name

if TYPE_CHECKING:
    from inspect_ai.model import (
        ChatMessage,
        GenerateConfig,
        Model,
        ModelCall,
        ModelOutput,
    )
    from inspect_ai.tool import ToolChoice, ToolInfo

KEYLESS = "none"
"""What stands for a key with servers that ask for none."""

_OWN_SERVERS = ("ollama", "vllm", "sglang", "llama-cpp-python")
"""Providers that are servers of the user's own, and need no key."""

_SECRET = re.compile(r"(KEY|TOKEN|SECRET|PASSWORD|CREDENTIAL)S?$")


def providers() -> list[str]:
    """Names of all providers that inspect_ai knows, those of other packages with them."""
    _need_inspect()
    from inspect_ai._util.entrypoints import ensure_entry_points
    from inspect_ai._util.registry import registry_find, registry_info, registry_unqualified_name

    ensure_entry_points()
    found = registry_find(lambda info: info.type == "modelapi")
    names = {registry_unqualified_name(registry_info(one)) for one in found}
    return sorted(names - {"none", "mockllm"})


def check_model(spec: str, base_url: str | None = None) -> str:
    """The full name of a model, without making anything of it.

    "openai-api/NAME" with a URL is short for "openai-api/local/NAME".

    Raises
    ------
    InputError
        If it is not PROVIDER/NAME, there is no such provider, or the URL is none.
    MissingError
        If inspect_ai is not installed.
    """
    provider, _, name = spec.strip().partition("/")
    if not provider or not name:
        raise InputError(
            f'model "{spec}" must be PROVIDER/NAME, such as openai/gpt-5.2 or ollama/qwen3'
        )
    known = providers()
    if provider not in known and spec.strip() not in known:
        raise unknown_name("provider of models", provider, known)
    if base_url is not None:
        url = urlsplit(base_url)
        if url.scheme not in ("http", "https") or not url.hostname:
            raise InputError(f'--base-url "{base_url}" is no URL, such as http://127.0.0.1:8000/v1')
        if url.username or url.password or url.query:
            raise InputError(
                "--base-url may hold no password and no query: keys belong in the environment"
            )
    if provider == "openai-api" and "/" not in name:
        if base_url is None:
            raise InputError(
                f'model "{spec}": which server? Give --base-url URL, or openai-api/SERVICE/NAME'
            )
        return f"openai-api/local/{name}"
    return spec.strip()


def open_model(spec: str, base_url: str | None = None) -> Model:
    """A language model that inspect_ai can ask. Nothing is sent yet: see `probe`.

    Parameters
    ----------
    spec : str
        PROVIDER/NAME; see `check_model`.
    base_url : str, optional
        Of the provider's server, where it is not the usual one.

    Raises
    ------
    InputError
        As `check_model`.
    MissingError
        If the provider's package is not installed, or its key not in the environment.
    """
    from inspect_ai._util.error import PrerequisiteError
    from inspect_ai.model import GenerateConfig, get_model

    full = check_model(spec, base_url)
    with keyless(full, base_url):
        try:
            model = get_model(full, base_url=base_url, config=GenerateConfig(), memoize=False)
        except PrerequisiteError as error:
            raise MissingError(
                f"model {spec}: {_one_line(str(error.message)).removeprefix('ERROR: ')}"
            ) from None
        except ImportError as error:
            raise MissingError(f"model {spec}: {_one_line(str(error))}") from None
        except Exception as error:  # noqa: BLE001  (whatever a provider's package raises)
            raise InputError(f"model {spec} can't be opened: {redacted(error)}") from None
    guard(model)
    return model


async def probe(model: Model, *, timeout_s: int = 60) -> None:
    """Ask a model a trial question, so that what is wrong with it shows before the first true one.

    Raises
    ------
    MissingError
        If no answer comes: an unreachable URL, a wrong key, a model that is not there.
    """
    from inspect_ai.model import GenerateConfig

    config = GenerateConfig(
        max_tokens=64, max_retries=1, timeout=timeout_s, attempt_timeout=timeout_s
    )
    try:
        await model.generate('This is a test. Answer with "ANSWER: A".', config=config)
    except Exception as error:  # noqa: BLE001  (whatever a provider's package raises)
        raise no_answer(model, error) from None


def no_answer(model: Model, error: BaseException) -> MissingError:
    """The error for a model that gave no answer: what went wrong, where, and what to look at."""
    where = f" at {model.api.base_url}" if model.api.base_url else ""
    told = redacted(root(error))
    hint = "check that the server runs and the URL is right"
    if re.search(r"\b40[13]\b|api.?key|authenticat", told, re.IGNORECASE):
        names = " or ".join(model.api.api_key_vars) or "the provider's variable"
        hint = f"check the key in {names}"
    elif re.search(r"\b404\b|not.?found", told, re.IGNORECASE):
        hint = "check the model's name and the URL"
    return MissingError(f"model {model} gave no answer{where} ({told}): {hint}")


def root(error: BaseException) -> BaseException:
    """What an error came of: behind retries and groups of tasks."""
    while True:
        attempt = getattr(error, "last_attempt", None)
        inner = attempt.exception() if attempt is not None else None
        if isinstance(error, BaseExceptionGroup):
            inner = error.exceptions[0]
        elif inner is None and error.__cause__ is not None:
            inner = error.__cause__
        if inner is None or inner is error:
            return error
        error = inner


def redacted(error: BaseException | str) -> str:
    """One line of what went wrong, in which no secret of the environment stands."""
    text = error if isinstance(error, str) else f"{type(error).__name__}: {error}"
    return _one_line(_without_secrets(text))


def guard(model: Model) -> None:
    """Keep secrets out of the errors of a model's provider, which inspect_ai writes into its log.

    Some servers repeat the key that they refuse.
    """
    api = model.api
    if getattr(api.generate, "guarded", False):
        return
    generate = api.generate

    async def guarded(
        input: list[ChatMessage],  # noqa: A002  (inspect_ai's name)
        tools: list[ToolInfo],
        tool_choice: ToolChoice,
        config: GenerateConfig,
    ) -> ModelOutput | tuple[ModelOutput | Exception, ModelCall]:
        try:
            made = await generate(input, tools, tool_choice, config)
        except Exception as error:
            _scrub(error)
            _scrub_call()
            raise
        if isinstance(made, tuple) and isinstance(made[0], Exception):
            _scrub(made[0])
            made[1].response = _clean(made[1].response)  # type: ignore[assignment]
        return made

    guarded.guarded = True  # type: ignore[attr-defined]
    api.generate = guarded  # type: ignore[method-assign]


def _scrub(error: BaseException) -> None:
    """Take secrets out of an error and all that it came of, whose types stay what they are."""
    seen: set[int] = set()
    now: BaseException | None = error
    while now is not None and id(now) not in seen:
        seen.add(id(now))
        now.args = tuple(_clean(part) for part in now.args)
        for name in ("message", "body"):
            if hasattr(now, name):
                setattr(now, name, _clean(getattr(now, name)))
        now = now.__cause__ or now.__context__


def _scrub_call() -> None:
    """Take secrets out of the server's own words, which go into the log beside the error."""
    from inspect_ai.log._samples import _active_model_event

    event = _active_model_event.get()
    if event is not None and event.call is not None:
        event.call.response = _clean(event.call.response)  # type: ignore[assignment]


def _clean(value: object) -> object:
    if isinstance(value, str):
        return _without_secrets(value)
    if isinstance(value, dict):
        return {key: _clean(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_clean(one) for one in value]
    return value


def _without_secrets(text: str) -> str:
    for name, value in os.environ.items():
        if len(value) >= 6 and _SECRET.search(name):
            text = text.replace(value, f"${name}")
    return text


@contextmanager
def keyless(spec: str, base_url: str | None) -> Iterator[None]:
    """For as long as the block lasts, servers of the user's own need no key in the environment.

    inspect_ai reads keys from the environment alone, and again when a run is resumed.
    """
    provider, _, name = spec.partition("/")
    variable = ""
    if provider == "openai-api":
        variable = f"{name.partition('/')[0].upper().replace('-', '_')}_API_KEY"
    elif base_url is not None and provider in _OWN_SERVERS:
        variable = f"{provider.upper().replace('-', '_')}_API_KEY"
    missing = bool(variable) and base_url is not None and variable not in os.environ
    if missing:
        os.environ[variable] = KEYLESS
    try:
        yield
    finally:
        if missing:
            os.environ.pop(variable, None)


def _one_line(text: str, most: int = 300) -> str:
    line = " ".join(re.sub(r"\x1b\[[0-9;]*m|\[/?[a-z ]+\]", "", text).split())
    return line if len(line) <= most else line[: most - 1] + "…"


def _need_inspect() -> None:
    from importlib.util import find_spec

    if find_spec("inspect_ai") is None:
        raise MissingError(
            "language models are asked through inspect_ai: pip install rfplatform[oran]"
        )
