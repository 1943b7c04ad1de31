"""An index opened with what the command line names."""

import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from rfplatform.errors import InputError
from rfplatform.oran.opened import opened
from rfplatform.retrieval.index import build_index


@pytest.fixture
def index(tmp_path):
    text = "# Zebra\n\nThe timing of zebras.\n\n# Timing\n\nTiming, timing and timing.\n"
    (tmp_path / "doc.md").write_text(text)
    build_index([tmp_path / "doc.md"], tmp_path / "index")
    return tmp_path / "index"


@pytest.fixture
def url():
    """A re-ranking server that likes zebras."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            results = [
                {"index": i, "relevance_score": float("zebra" in text.lower())}
                for i, text in enumerate(body["documents"])
            ]
            data = json.dumps({"results": results}).encode()
            self.send_response(200)
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_):
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/v1"
    server.shutdown()
    server.server_close()


def test_a_reranker_has_the_last_word(index, url):
    plain = opened(index).retriever("timing", 1)
    reranked = opened(index, reranker=f"{url}#any").retriever("timing", 1)
    assert plain[0].chunk.heading == "Timing"
    assert reranked[0].chunk.heading == "Zebra"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"kind": "best"}, "known: bm25, dense, fused"),
        ({"kind": "dense"}, "no vectors"),
        ({"reranker": "nowhere"}, "nowhere"),
    ],
)
def test_what_is_not_there_is_one_line(index, options, words):
    with pytest.raises(InputError, match=words) as told:
        opened(index, **options)
    assert "\n" not in str(told.value)
