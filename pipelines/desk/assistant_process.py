"""The process of a question: ``python -m pipelines.desk.assistant_process``.

A line of JSON on standard input says what to ask whom; one on standard output is the "answer", or
an "error" in words with its "exit_code". Keys are in the environment, and in neither line.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipelines.oran.ask import Config
from pipelines.oran.ask import main as ask
from rfplatform.errors import RfplatformError


def answered(request: Mapping[str, Any]) -> dict[str, Any]:
    """What is to be written for a request, whatever comes of it."""
    config = Config(
        request["question"],
        Path(request["index"]),
        request["model"],
        base_url=request["base_url"],
        anyway=request["anyway"],
    )
    try:
        return {"answer": ask(config)}
    except RfplatformError as error:
        return {"error": str(error), "exit_code": error.exit_code}
    except Exception as error:  # noqa: BLE001  (whatever it is, the user is told)
        from rfplatform.oran.providers import redacted

        return {"error": f"unexpected error: {redacted(error)}", "exit_code": 1}


def main() -> int:
    """Answer one request."""
    lines = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # Whatever a library prints is no answer.
    lines.write(json.dumps(answered(json.loads(sys.stdin.read()))) + "\n")
    lines.flush()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
