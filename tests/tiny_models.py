"""Tiny models of every kind that sentence-transformers loads, with random weights, made on the spot.

`VARIETIES` names a function for each: it writes a model's folder and gives it back.
"""

from __future__ import annotations

import json
import string
from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import load_file, save_file
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules import Router
from sentence_transformers.sentence_transformer import modules as parts
from tiny_mpnet import save_tiny_mpnet
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import AutoModel, PreTrainedTokenizerFast

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

HIDDEN = 32
_SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
_LETTERS = string.ascii_lowercase + string.digits + ".,()!-"
_WORDS = [
    *_SPECIAL,
    *_LETTERS,
    *(f"##{letter}" for letter in _LETTERS),
    "hammer",
    "drill",
    "screw",
    "claw",
    "with",
    "handle",
    "word",
]


def make_tokenizer(**options: Any) -> PreTrainedTokenizerFast:
    """A WordPiece tokenizer over letters that adds [CLS] and [SEP]; `options` are the library's."""
    tokenizer = Tokenizer(models.WordPiece({word: row for row, word in enumerate(_WORDS)}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    special = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, mask_token="[MASK]", **special, **options)


def save_transformer(folder: Path, kind: str = "bert", **options: Any) -> Path:
    """Write a plain transformers model with its tokenizer; `kind` is a row of `_CONFIGS`."""
    from transformers import AutoConfig

    settings, limit, side = _CONFIGS[kind]
    config = AutoConfig.for_model(kind, **{"vocab_size": len(_WORDS), "pad_token_id": 0, **settings, **options})
    torch.manual_seed(7)
    model = AutoModel.from_config(config)
    for weights in model.parameters():  # biases and norms too: what is left out must show
        torch.nn.init.normal_(weights, 0.1, 0.3)
    model.save_pretrained(folder)
    given = {} if limit is None else {"model_max_length": limit}
    make_tokenizer(padding_side=side, **given).save_pretrained(folder)
    return folder


_SMALL = {"hidden_size": HIDDEN, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 48}
_ROTARY = {**_SMALL, "num_key_value_heads": 2, "head_dim": 8, "max_position_embeddings": 128}
_T5 = {"d_model": HIDDEN, "d_kv": 8, "d_ff": 48, "num_layers": 2, "num_heads": 4, "decoder_start_token_id": 0}
_CONFIGS: dict[str, tuple[dict[str, Any], int | None, str]] = {  # settings, limit of the tokenizer, where it pads
    "bert": ({**_SMALL, "max_position_embeddings": 64}, 64, "right"),
    "mpnet": ({**_SMALL, "max_position_embeddings": 66, "pad_token_id": 1}, 64, "right"),
    "roberta": ({**_SMALL, "max_position_embeddings": 65}, 64, "right"),
    "distilbert": (
        {"dim": HIDDEN, "n_layers": 2, "n_heads": 4, "hidden_dim": 48, "max_position_embeddings": 64}, 64, "right",
    ),
    "electra": ({**_SMALL, "embedding_size": 16, "max_position_embeddings": 64}, 64, "right"),
    "albert": ({**_SMALL, "embedding_size": 16, "max_position_embeddings": 64}, 64, "right"),
    "modernbert": (
        {**_SMALL, "max_position_embeddings": 64, "cls_token_id": 2, "sep_token_id": 3, "bos_token_id": 2,
         "eos_token_id": 3}, 64, "right",
    ),
    "xlnet": ({"d_model": HIDDEN, "n_layer": 2, "n_head": 4, "d_inner": 48}, None, "left"),
    "t5": (_T5, None, "right"),
    "qwen3": (_ROTARY, 64, "left"),
    "llama": (_ROTARY, 64, "left"),
    "gpt2": ({"n_embd": HIDDEN, "n_layer": 2, "n_head": 4, "n_positions": 64}, 64, "left"),
}  # fmt: skip


def save_modules(folder: Path, *modules: Any, **options: Any) -> Path:
    """Write modules as one sentence-transformers model; `options` are the library's."""
    SentenceTransformer(modules=list(modules), device="cpu", **options).save_pretrained(
        str(folder), create_model_card=False
    )
    return folder


def make_transformer(folder: Path, kind: str = "bert", **options: Any) -> Any:
    """The library's module of a small transformer."""
    return parts.Transformer(str(save_transformer(folder.with_name(f"{folder.name}-parts"), kind)), **options)


def pooled(*modes: str, kind: str = "bert") -> Callable[[Path], Path]:
    """A model of a transformer and these poolings."""

    def save(folder: Path) -> Path:
        width = 48 if kind == "none" else HIDDEN
        return save_modules(folder, make_transformer(folder, kind), parts.Pooling(width, modes or "mean"))

    return save


def mpnet(folder: Path) -> Path:
    """The tiny MPNet of other tests."""
    return save_tiny_mpnet(folder, width=48)


def _normal(module: Any) -> Any:
    torch.manual_seed(11)
    for weights in module.parameters():
        torch.nn.init.normal_(weights, 0.1, 0.3)
    return module


def dense(width: int, *, first: tuple[Any, ...] = (), activation: Any = None) -> Callable[[Path], Path]:
    """A model with a product after its pooling, and modules between the two."""

    def save(folder: Path) -> Path:
        product = _normal(parts.Dense(HIDDEN, width, activation_function=activation or torch.nn.Tanh()))
        made = [kind(*given) for kind, *given in first]
        return save_modules(folder, make_transformer(folder), parts.Pooling(HIDDEN), *made, product)

    return save


def truncated(folder: Path, width: int = 12, *modes: str) -> Path:
    """A model that cuts its vectors by its configuration."""
    return save_modules(folder, make_transformer(folder), parts.Pooling(HIDDEN, modes or "mean"), truncate_dim=width)


def beside(name: str, save: Callable[[Path], Path]) -> Callable[[Path], Path]:
    """A model with another form of itself in a folder that has a config.json of its own."""

    def make(folder: Path) -> Path:
        save(folder)
        (folder / name).mkdir()
        (folder / name / "config.json").write_text(json.dumps({"hidden_size": 7, "out_features": 5}))
        return folder

    return make


def in_subfolder(folder: Path) -> Path:
    """As sentence-transformers 0.x wrote models: the transformer in a folder of its own."""
    pooled("mean")(folder)
    listed = json.loads((folder / "modules.json").read_text())
    moved = folder / "0_Transformer"
    moved.mkdir()
    for path in list(folder.iterdir()):
        if path.is_file() and path.name not in ("modules.json", "config_sentence_transformers.json"):
            path.rename(moved / path.name)
    listed[0] |= {"path": "0_Transformer", "type": "sentence_transformers.models.Transformer"}
    listed[1]["type"] = "sentence_transformers.models.Pooling"
    (folder / "modules.json").write_text(json.dumps(listed))
    (folder / "config_sentence_transformers.json").unlink()
    (moved / "sentence_bert_config.json").write_text(json.dumps({"max_seq_length": 32, "do_lower_case": False}))
    pooling = {"word_embedding_dimension": HIDDEN, "pooling_mode_cls_token": False, "pooling_mode_mean_tokens": True}
    (folder / listed[1]["path"] / "config.json").write_text(json.dumps(pooling))
    return folder


def old_names(folder: Path) -> Path:
    """A BERT whose file has the names of TensorFlow's: LayerNorm.gamma and LayerNorm.beta."""
    pooled("mean")(folder)

    old = {"LayerNorm.weight": "LayerNorm.gamma", "LayerNorm.bias": "LayerNorm.beta"}
    return rename_weights(folder, lambda name: name.replace(end := ".".join(name.split(".")[-2:]), old.get(end, end)))


def prefixed(folder: Path) -> Path:
    """A BERT that was saved from under a head: every name begins with `bert.`."""
    pooled("mean")(folder)
    return rename_weights(folder, lambda name: f"bert.{name}")


def rename_weights(folder: Path, rename: Callable[[str], str | None], file: str = "model.safetensors") -> Path:
    """Give a file's weights other names; None leaves one out."""
    named = {rename(name): values for name, values in load_file(folder / file).items()}
    save_file({name: values for name, values in named.items() if name}, folder / file, metadata={"format": "pt"})
    return folder


def no_pooler(folder: Path) -> Path:
    """A BERT whose file lacks the pooler, which vectors don't pass through."""
    pooled("mean")(folder)
    return rename_weights(folder, lambda name: None if name.startswith("pooler.") else name)


def sharded(folder: Path) -> Path:
    """A model in several files of weights."""
    model = SentenceTransformer(str(pooled("mean")(folder.with_name(f"{folder.name}-whole"))), device="cpu")
    model.save_pretrained(str(folder), create_model_card=False)
    (folder / "model.safetensors").unlink()
    model[0].auto_model.save_pretrained(folder, max_shard_size="20KB")
    return folder


def static(folder: Path) -> Path:
    """A static model: a mean of token vectors."""
    module = _normal(parts.StaticEmbedding(make_tokenizer().backend_tokenizer, embedding_dim=24))
    return save_modules(folder, module)


def static_normalised(folder: Path) -> Path:
    """A static model with its scaling."""
    module = _normal(parts.StaticEmbedding(make_tokenizer().backend_tokenizer, embedding_dim=24))
    return save_modules(folder, module, parts.Normalize())


def static_in_subfolder(folder: Path) -> Path:
    """A static model as sentence-transformers 3 wrote it."""
    static(folder)
    moved = folder / "0_StaticEmbedding"
    moved.mkdir()
    for name in ("model.safetensors", "tokenizer.json"):
        (folder / name).rename(moved / name)
    listed = json.loads((folder / "modules.json").read_text())
    listed[0] |= {"path": moved.name, "type": "sentence_transformers.models.StaticEmbedding"}
    (folder / "modules.json").write_text(json.dumps(listed))
    return folder


def word_embeddings(folder: Path) -> Path:
    """Vectors of whole words, as of GloVe, with their mean."""
    from sentence_transformers.sentence_transformer.modules.tokenizer import WhitespaceTokenizer

    words = ["hammer", "drill", "screw", "deck", "word", "nails"]
    torch.manual_seed(3)
    module = parts.WordEmbeddings(WhitespaceTokenizer(words), torch.randn(len(words) + 1, 20))
    return save_modules(folder, module, parts.Pooling(20))


def routed(folder: Path) -> Path:
    """Queries and documents through different modules."""
    query = _normal(parts.StaticEmbedding(make_tokenizer().backend_tokenizer, embedding_dim=HIDDEN))
    router = Router.for_query_document(
        query_modules=[query], document_modules=[make_transformer(folder), parts.Pooling(HIDDEN)]
    )
    return save_modules(folder, router, parts.Normalize())


def routed_by_default(folder: Path) -> Path:
    """As `routed`, with documents where nothing is said."""
    query = _normal(parts.StaticEmbedding(make_tokenizer().backend_tokenizer, embedding_dim=HIDDEN))
    routes = {"query": [query], "document": [make_transformer(folder), parts.Pooling(HIDDEN)]}
    return save_modules(folder, Router(routes, default_route="document"))


def unlimited(folder: Path) -> Path:
    """A T5 encoder, whose tokenizer has no limit and whose configuration states none."""
    return pooled("mean", kind="t5")(folder)


def vocabulary_only(folder: Path) -> Path:
    """A BERT without modules.json whose tokenizer is a list of words."""
    save_transformer(folder)
    (folder / "tokenizer.json").unlink()
    (folder / "vocab.txt").write_text("\n".join(_WORDS) + "\n")
    told = {"tokenizer_class": "BertTokenizer", "model_max_length": 64, "do_lower_case": True}
    (folder / "tokenizer_config.json").write_text(json.dumps(told))
    return folder


def prompted(folder: Path) -> Path:
    """A model that puts a prompt before every text by default."""
    return save_modules(
        folder, make_transformer(folder), parts.Pooling(HIDDEN), prompts={"any": "drill: "}, default_prompt_name="any"
    )


def norm_layer(folder: Path) -> Path:
    """A model with a learnt norm after its pooling."""
    layer = _normal(parts.LayerNorm(HIDDEN))
    return save_modules(folder, make_transformer(folder), parts.Pooling(HIDDEN), layer)


def layer_mean(folder: Path) -> Path:
    """A learnt mean over the transformer's layers."""
    path = save_transformer(folder.with_name(f"{folder.name}-parts"), output_hidden_states=True)
    weighted = parts.WeightedLayerPooling(HIDDEN, num_hidden_layers=2, layer_start=1)
    return save_modules(folder, parts.Transformer(str(path)), _normal(weighted), parts.Pooling(HIDDEN))


def left_bert(folder: Path) -> Path:
    """A BERT whose tokenizer pads on the left: its positions depend on the batch."""
    pooled("mean")(folder)
    path = folder / "tokenizer_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "padding_side": "left"}))
    return folder


VARIETIES: dict[str, Callable[[Path], Path]] = {
    "bert": pooled("mean"),
    "cls and mean": pooled("cls", "mean"),
    "four poolings": pooled("cls", "max", "mean", "weightedmean"),
    "last token": pooled("lasttoken"),
    "dense, smaller": dense(8),
    "dense, larger": dense(80),
    "dense after normalize": dense(16, first=((parts.Normalize,),), activation=torch.nn.Identity()),
    "two dense": dense(8, first=((parts.Dense, HIDDEN, HIDDEN),)),
    "norm layer": norm_layer,
    "mean of layers": layer_mean,
    "truncated": truncated,
    "truncated beyond": lambda folder: truncated(folder, 500),
    "truncated two poolings": lambda folder: truncated(folder, 40, "cls", "mean"),
    "onnx beside": beside("onnx", pooled("mean")),
    "openvino beside dense": beside("openvino", dense(8)),
    "in subfolder": in_subfolder,
    "without modules": save_transformer,
    "vocabulary only": vocabulary_only,
    "old names": old_names,
    "prefixed": prefixed,
    "no pooler": no_pooler,
    "sharded": sharded,
    "prompted": prompted,
    "mpnet": mpnet,
    "mpnet with another padding": pooled("mean", kind="mpnet"),
    "roberta": pooled("mean", kind="roberta"),
    "distilbert": pooled("mean", kind="distilbert"),
    "electra": pooled("cls", kind="electra"),
    "albert": pooled("mean", kind="albert"),
    "modernbert": pooled("mean", kind="modernbert"),
    "xlnet": pooled("mean", kind="xlnet"),
    "t5": unlimited,
    "qwen3": pooled("lasttoken", kind="qwen3"),
    "llama": pooled("weightedmean", kind="llama"),
    "gpt2": pooled("lasttoken", kind="gpt2"),
    "left bert": left_bert,
    "static": static,
    "static, normalised": static_normalised,
    "static in subfolder": static_in_subfolder,
    "word embeddings": word_embeddings,
    "routed by default": routed_by_default,
    "routed": routed,
}

ROUTED = ["routed by default", "routed"]
UNTRAINABLE = ["static", "static, normalised", "static in subfolder", "word embeddings", "mpnet with another padding"]
