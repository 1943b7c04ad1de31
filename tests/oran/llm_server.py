"""A server of the OpenAI protocol in this process, which goes wrong as it is told to."""

from __future__ import annotations

import json
import re
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Fault = str
"""ok, timeout, 401, 429, 500, malformed, dropped, endless, refusal, empty, no-usage, echo-key"""


@dataclass
class Served:
    """What a server was asked, and what it shall do.

    `fault` is asked for each call with the prompt and how often that prompt has come before.
    """

    url: str = ""
    answer: Callable[[str], str] = lambda _: "ANSWER: A"
    fault: Callable[[str, int], Fault] = lambda _prompt, _before: "ok"
    prompts: list[str] = field(default_factory=list)
    requests: list[dict[str, Any]] = field(default_factory=list)
    seen: Counter[str] = field(default_factory=Counter)
    finished: Counter[str] = field(default_factory=Counter)
    keys: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)
    stop: threading.Event = field(default_factory=threading.Event)


@contextmanager
def serving(**settings: Any) -> Iterator[Served]:
    """A server on a free port of loopback, for as long as the block lasts."""
    served = Served(**settings)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            prompt = "\n".join(_text(message) for message in body["messages"])
            with served.lock:
                before = served.seen[prompt]
                served.seen[prompt] += 1
                served.prompts.append(prompt)
                served.requests.append(body)
                served.keys.append(self.headers.get("Authorization", ""))
            if not self.path.startswith("/v1/"):
                _send(self, 404, {"error": {"message": f"no {self.path}", "type": "not_found"}})
                return
            _respond(self, served, prompt, served.fault(prompt, before))

        def do_GET(self) -> None:
            _send(self, 200, {"object": "list", "data": [{"id": "tiny", "object": "model"}]})

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.handle_error = lambda *_: None  # type: ignore[method-assign]
    served.url = f"http://127.0.0.1:{server.server_port}/v1"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield served
    finally:
        served.stop.set()
        server.shutdown()
        server.server_close()


def free_port() -> int:
    """A port on which nothing listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def options_of(prompt: str) -> dict[str, str]:
    """The options that a prompt shows, by letter."""
    return dict(re.findall(r"^([A-Z])\) (.*)$", prompt, re.MULTILINE))


def _text(message: dict[str, Any]) -> str:
    content = message["content"]
    return content if isinstance(content, str) else "".join(part["text"] for part in content)


def _respond(handler: BaseHTTPRequestHandler, served: Served, prompt: str, fault: Fault) -> None:
    if fault == "timeout":
        served.stop.wait(60)
        return
    if fault in ("401", "429", "500"):
        _send(handler, int(fault), {"error": {"message": f"fault {fault}", "type": "fault"}})
        return
    if fault == "echo-key":
        told = f"this key is bad: {handler.headers.get('Authorization')}"
        _send(handler, 400, {"error": {"message": told, "type": "invalid_request_error"}})
        return
    if fault == "malformed":
        _raw(handler, b'{"choices": [{"message": {"role": "assistant", "conte')
        return
    text = {"refusal": "I'm sorry, but I can't help with that.", "empty": ""}.get(fault)
    if text is None:
        text = served.answer(prompt)
    reply = _completion(text)
    if fault == "refusal":
        reply["choices"][0]["finish_reason"] = "content_filter"
    if fault == "no-usage":
        del reply["usage"]
    if fault in ("dropped", "endless"):
        body = json.dumps(reply).encode()
        handler.send_response(200)
        handler.send_header("Content-Type", "application/json")
        handler.send_header("Content-Length", str(10**9 if fault == "endless" else len(body)))
        handler.end_headers()
        handler.wfile.write(body[: len(body) // 2])
        handler.wfile.flush()
        while fault == "endless" and not served.stop.is_set():
            handler.wfile.write(b" ")  # The client goes away: an error that ends this thread.
            handler.wfile.flush()
            time.sleep(0.02)
        handler.close_connection = True
        handler.connection.shutdown(socket.SHUT_RDWR)
        return
    with served.lock:
        served.finished[prompt] += 1
    _send(handler, 200, reply)


def _completion(text: str) -> dict[str, Any]:
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": "tiny",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": text},
                "finish_reason": "stop",
            }
        ],
        "usage": {"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 12},
    }


def _send(handler: BaseHTTPRequestHandler, status: int, body: dict[str, Any]) -> None:
    _raw(handler, json.dumps(body).encode(), status)


def _raw(handler: BaseHTTPRequestHandler, body: bytes, status: int = 200) -> None:
    handler.send_response(status)
    handler.send_header("Content-Type", "application/json")
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body)
