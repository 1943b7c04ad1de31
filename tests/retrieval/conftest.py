"""A tiny encoder in the files of an ONNX export, and a server that answers as a test says."""

import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from tiny_bert import tiny_weights, write_tokenizer

from rfplatform.retrieval.bert import BertShape, bert_graph


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tiny-bert")
    graph = bert_graph(tiny_weights(), BertShape(heads=4))
    (folder / "model.onnx").write_bytes(graph.SerializeToString())
    (folder / "sentence_bert_config.json").write_text(json.dumps({"max_seq_length": 20}))
    write_tokenizer(folder)
    return folder


@dataclass
class Server:
    """An HTTP server that answers as a test says, and remembers what it was asked."""

    url: str = ""
    asked: list[tuple[str, dict, dict]] = field(default_factory=list)
    answer: Callable[[str, dict], tuple[int, Any]] = lambda _path, _body: (500, {})
    headers: dict[str, str] = field(default_factory=dict)


@pytest.fixture
def server() -> Iterator[Server]:
    told = Server()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            told.asked.append((self.path, body, dict(self.headers)))
            status, answer = told.answer(self.path, body)
            data = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
            self.send_response(status)
            for name, value in told.headers.items():
                self.send_header(name, value)
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            pass

    httpd = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    told.url = f"http://127.0.0.1:{httpd.server_port}/v1"
    thread = threading.Thread(target=httpd.serve_forever, daemon=True)
    thread.start()
    yield told
    httpd.shutdown()
    httpd.server_close()
    thread.join()
