"""A tiny BERT with random weights, its tokenizer, and chunks to search."""

from pathlib import Path

import numpy as np

from rfplatform.documents.chunk import Chunk

WORDS = [
    *("[PAD]", "[UNK]", "[CLS]", "[SEP]", ".", ",", "a", "the", "of", "o"),
    *("e2", "ric", "node", "near", "rt", "ran", "fronthaul", "split", "radio", "unit", "cell"),
    *("subscription", "sends", "report", "policy", "slice", "power", "control", "user", "plane"),
]


def tiny_weights(seed: int = 0, layers: int = 2, width: int = 16, wide: int = 24) -> dict:
    random = np.random.default_rng(seed)

    def normal(*shape: int, scale: float = 0.4) -> np.ndarray:
        return random.normal(0, scale, shape).astype(np.float32)

    weights = {
        "embeddings.word_embeddings.weight": normal(len(WORDS), width, scale=1.0),
        "embeddings.position_embeddings.weight": normal(32, width),
        "embeddings.token_type_embeddings.weight": normal(2, width),
    }
    norms = ["embeddings.LayerNorm"]
    for number in range(layers):
        name = f"encoder.layer.{number}"
        for part in ("self.query", "self.key", "self.value", "output.dense"):
            weights[f"{name}.attention.{part}.weight"] = normal(width, width)
            weights[f"{name}.attention.{part}.bias"] = normal(width)
        weights[f"{name}.intermediate.dense.weight"] = normal(wide, width)
        weights[f"{name}.intermediate.dense.bias"] = normal(wide)
        weights[f"{name}.output.dense.weight"] = normal(width, wide)
        weights[f"{name}.output.dense.bias"] = normal(width)
        norms += [f"{name}.attention.output.LayerNorm", f"{name}.output.LayerNorm"]
    for norm in norms:
        weights[f"{norm}.weight"] = 1 + normal(width, scale=0.1)
        weights[f"{norm}.bias"] = normal(width, scale=0.1)
    return weights


def write_tokenizer(folder: Path) -> None:
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

    tokenizer = Tokenizer(
        models.WordLevel({word: i for i, word in enumerate(WORDS)}, unk_token="[UNK]")
    )
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
    )
    # As the published tokenizers have it, and no caller may rely on it.
    tokenizer.enable_padding(length=24)
    tokenizer.save(str(folder / "tokenizer.json"))


def chunk(
    text: str,
    name: str = "a.md",
    section: int = 0,
    heading: str = "",
    parents: tuple[str, ...] = (),
    number: int = 0,
) -> Chunk:
    place = f"{name}#{section}.{number}"
    return Chunk(place, name, name, "v1", "CC0-1.0", section, heading, parents, None, text)
