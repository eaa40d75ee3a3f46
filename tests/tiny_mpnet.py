"""A tiny MPNet with random weights: another architecture, tokenizer and width than MiniLM's, made on the spot."""

from __future__ import annotations

import string
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

WIDTH = 768
_SPECIAL = ["<s>", "<pad>", "</s>", "[UNK]", "<mask>"]


def save_tiny_mpnet(folder: Path, dropout: float = 0.0, width: int = WIDTH) -> Path:
    """Write a sentence-transformers model of one layer over a vocabulary of letters; the same weights every time."""
    import torch
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Normalize, Pooling, Transformer
    from transformers import MPNetConfig, MPNetModel, MPNetTokenizerFast

    letters = list(string.ascii_lowercase + string.digits)
    words = [*_SPECIAL, *letters, *(f"##{letter}" for letter in letters)]
    source = folder.with_name(f"{folder.name}-parts")
    source.mkdir(parents=True)
    (source / "vocab.txt").write_text("\n".join(words) + "\n", encoding="utf-8")
    tokenizer = MPNetTokenizerFast(vocab=str(source / "vocab.txt"), model_max_length=64)
    config = MPNetConfig(
        vocab_size=len(tokenizer), hidden_size=width, num_hidden_layers=1, num_attention_heads=12,
        intermediate_size=128, max_position_embeddings=66, hidden_dropout_prob=dropout,
        attention_probs_dropout_prob=dropout,
    )  # fmt: skip
    torch.manual_seed(7)
    MPNetModel(config, add_pooling_layer=False).save_pretrained(source)
    tokenizer.save_pretrained(source)
    transformer = Transformer(str(source))
    SentenceTransformer(modules=[transformer, Pooling(width), Normalize()]).save_pretrained(
        str(folder), create_model_card=False
    )
    return folder
