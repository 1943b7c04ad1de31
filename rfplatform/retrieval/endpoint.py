"""JSON over HTTP to a server that may be slow, busy or away; keys are told to nobody else."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from rfplatform.errors import InputError, MissingError

if TYPE_CHECKING:
    import httpx

LONGEST_WAIT_S = 30.0
_BUSY = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 529})
_REFUSED = frozenset({401, 403})


@dataclass(frozen=True)
class Endpoint:
    """A server's base URL, and how it is asked.

    Attributes
    ----------
    url : str
        Such as "http://localhost:11434/v1".
    keys : sequence of str
        Environment variables that may hold its API key; the first that is set counts.
    timeout_s : float
        For one answer.
    attempts : int
        Tries in all, where the server is busy, fails or can't be reached.
    pause_s : float
        Before the second try; doubled before each other one. A server that says how long to wait
        is given that time, up to `LONGEST_WAIT_S`.
    """

    url: str
    keys: Sequence[str] = ()
    timeout_s: float = 60.0
    attempts: int = 5
    pause_s: float = 0.5

    def __post_init__(self) -> None:
        parts = urlsplit(self.url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise InputError(f"{self.shown}: must be an http or https URL, as http://host:port/v1")
        if parts.username or parts.password:
            raise InputError(
                f"{self.shown}: a URL must not hold a key or password: set {' or '.join(self.keys)}"
            )

    @property
    def shown(self) -> str:
        """The URL without what may be secret in it."""
        parts = urlsplit(self.url)
        host = parts.netloc.rpartition("@")[2]
        return f"{parts.scheme}://{host}{parts.path}" if parts.scheme else parts.path

    def post(
        self, path: str, body: object, sleep: Callable[[float], None] = time.sleep
    ) -> dict[str, Any] | list[Any]:
        """The JSON object or list that a path answers with.

        Raises
        ------
        InputError
            If the server refuses what it was asked, or answers with something else.
        MissingError
            If it can't be reached or fails, time after time, or the library `httpx` is missing.
        """
        try:
            import httpx
        except ImportError:
            raise MissingError(
                "the library httpx is not installed: pip install 'rfplatform[oran]'"
            ) from None
        key = next((value for name in self.keys if (value := os.environ.get(name))), "")
        headers = {"authorization": f"Bearer {key}"} if key else {}
        url = f"{self.url.rstrip('/')}/{path}"
        fault = ""
        for attempt in range(max(self.attempts, 1)):
            if attempt:
                sleep(min(self.pause_s * 2 ** (attempt - 1), LONGEST_WAIT_S))
            try:
                answer = httpx.post(url, json=body, headers=headers, timeout=self.timeout_s)
            except httpx.TimeoutException:
                fault = f"no answer within {self.timeout_s:g} s"
                continue
            except (httpx.LocalProtocolError, httpx.InvalidURL, ValueError):
                # A key with a line break, say: the library's message would quote it.
                raise InputError(f"{self.shown}: can't be asked: check URL and key") from None
            except httpx.HTTPError as error:
                fault = _redacted(str(error) or type(error).__name__, key)
                continue
            if answer.status_code not in _BUSY:
                return self._read(answer, key)
            fault = f"HTTP {answer.status_code}"
            if (wait := _retry_after(answer)) is not None and attempt + 1 < self.attempts:
                sleep(max(0.0, wait - self.pause_s * 2**attempt))
        raise MissingError(
            f"{self.shown}: failed {max(self.attempts, 1)} times ({fault}): is the server up?"
        )

    def _read(self, answer: httpx.Response, key: str) -> dict[str, Any] | list[Any]:
        if answer.status_code in _REFUSED:
            names = " or ".join(self.keys) or "no key"
            raise InputError(
                f"{self.shown}: refused the API key (HTTP {answer.status_code}): set {names}"
            )
        if not answer.is_success:
            said = _redacted(" ".join(answer.text.split())[:200], key)
            raise InputError(f"{self.shown}: HTTP {answer.status_code}: {said}")
        try:
            found = answer.json()
        except ValueError:
            found = None
        if not isinstance(found, dict | list):
            raise InputError(f"{self.shown}: did not answer with JSON: is it such a server?")
        return found


def _redacted(text: str, key: str) -> str:
    return text.replace(key, "***") if key else text


def _retry_after(answer: httpx.Response) -> float | None:
    try:
        return min(max(float(answer.headers["retry-after"]), 0.0), LONGEST_WAIT_S)
    except (KeyError, ValueError):
        return None
