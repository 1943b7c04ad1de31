"""The whole path with a true language model: made here, served by Transformers, evaluated."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import pytest

from pipelines.oran.evaluate import Config, main
from tests.oran.llm_server import free_port

PYTHON = os.environ.get("RFPLATFORM_TRANSFORMERS", "")
"""A Python with transformers[serving] and torch."""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not PYTHON, reason="slow, and needs PyTorch: run it by make slow"),
]

MAKE = """
import sys
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast
import torch

torch.manual_seed(0)
words = Tokenizer(models.BPE(unk_token="<unk>"))
words.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
words.decoder = decoders.ByteLevel()
text = ["The O-DU and the O-RU talk over the open fronthaul. ANSWER: A, B, C or D."] * 50
special = ["<unk>", "<s>", "</s>"]
alphabet = pre_tokenizers.ByteLevel.alphabet()
words.train_from_iterator(
    text, trainers.BpeTrainer(vocab_size=600, special_tokens=special, initial_alphabet=alphabet)
)
tokenizer = PreTrainedTokenizerFast(
    tokenizer_object=words, unk_token="<unk>", bos_token="<s>", eos_token="</s>", pad_token="</s>"
)
tokenizer.chat_template = (
    "{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}\\n{% endfor %}assistant:"
)
model = LlamaForCausalLM(
    LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=64, intermediate_size=128, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=4, max_position_embeddings=2048,
        bos_token_id=1, eos_token_id=2, pad_token_id=2,
    )
)
model.generation_config.max_new_tokens = 16
model.save_pretrained(sys.argv[1])
tokenizer.save_pretrained(sys.argv[1])
"""


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """A server of a tiny random Llama, and the model's name there."""
    folder = tmp_path_factory.mktemp("tiny")
    subprocess.run([PYTHON, "-c", MAKE, str(folder)], check=True, timeout=300)
    port = free_port()
    cache = tmp_path_factory.mktemp("cache")
    (cache / "hub").mkdir()
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(cache)}
    command = [str(Path(PYTHON).with_name("transformers")), "serve", str(folder)]
    command += ["--host", "127.0.0.1", "--port", str(port), "--device", "cpu"]
    with (cache / "server.log").open("w") as log:
        server = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + 240
        while time.monotonic() < deadline and server.poll() is None:
            try:
                urlopen(f"http://127.0.0.1:{port}/health", timeout=2)
                break
            except (URLError, OSError):
                time.sleep(1)
        assert server.poll() is None, (cache / "server.log").read_text()[-2000:]
        yield f"http://127.0.0.1:{port}/v1", str(folder)
    finally:
        server.terminate()
        server.wait(30)


def test_a_served_model_is_evaluated(url: tuple[str, str], tmp_path: Path) -> None:
    base_url, model = url
    rows = [
        [f"What is {i}?", [f"{k}. option {k} of {i}" for k in (1, 2, 3, 4)], "2"] for i in range(8)
    ]
    for letter in "EMH":
        (tmp_path / f"fin_{letter}.json").write_text("\n".join(map(json.dumps, rows)))
    config = Config(
        (f"openai-api/local/{model}",),
        base_url,
        tmp_path,
        out=tmp_path / "out",
        max_connections=2,
        max_tokens=16,
    )
    result = main(config)
    assert not result.unfinished
    served = result.entrants[0]
    assert served.answers is not None
    assert served.answers.tokens["output"] > 0
    # It knows no letters: what it says can hardly be read, and that is told.
    assert served.scores.unparsed > 0.3
