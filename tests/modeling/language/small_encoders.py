"""Small random text encoders in the hub's layout, with tokenizers that know a few words."""

import torch
import transformers
from tokenizers import ByteLevelBPETokenizer

from hoi_d2.modeling.language.text_encoder import EncodedSentences

WORDS = "a an person is and the photo of riding bicycle holding umbrella sit ##ting on bed".split()
SIZES = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
CORPUS = ["a person is riding a bicycle", "a person is holding an umbrella"] * 3
KINDS = ("mobilebert", "bert", "roberta", "clip_text", "clip")


def save_encoder(kind, folder, *, seed=0):
    """Writes a model and its tokenizer as `save_pretrained` does; returns the folder as text."""
    torch.manual_seed(seed)
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = _word_piece(folder) if kind in ("mobilebert", "bert") else _byte_level(kind, folder)
    tokenizer.save_pretrained(folder)
    _model(kind, len(tokenizer)).save_pretrained(folder)
    return str(folder)


def _word_piece(folder):
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    vocabulary = {word: i for i, word in enumerate([*special, *dict.fromkeys(WORDS)])}
    return transformers.BertTokenizer(vocab=vocabulary, model_max_length=40)


def _byte_level(kind, folder):
    if kind == "roberta":
        bpe = ByteLevelBPETokenizer()
        special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
        bpe.train_from_iterator(CORPUS, vocab_size=300, min_frequency=1, special_tokens=special)
        bpe.save_model(str(folder))
        return transformers.RobertaTokenizer.from_pretrained(folder, model_max_length=40)
    letters = [chr(c) for c in range(ord("a"), ord("z") + 1)]
    pieces = ["<s>", "<pad>", "</s>", *letters, *(f"{c}</w>" for c in letters), "is</w>"]
    return transformers.CLIPTokenizer(
        vocab={piece: i for i, piece in enumerate(pieces)}, merges=[("i", "s</w>")],
        unk_token="</s>", bos_token="<s>", eos_token="</s>", pad_token="</s>", model_max_length=77,
    )  # fmt: skip


def _model(kind, vocab_size):
    if kind == "mobilebert":
        config = transformers.MobileBertConfig(
            vocab_size=vocab_size, **SIZES, embedding_size=16, intra_bottleneck_size=16,
            intermediate_size=32, classifier_activation=False,
        )  # fmt: skip
        return transformers.MobileBertModel(config)
    if kind == "bert":
        config = transformers.BertConfig(vocab_size=vocab_size, **SIZES, intermediate_size=32)
        return transformers.BertModel(config)
    if kind == "roberta":
        config = transformers.RobertaConfig(vocab_size=vocab_size, **SIZES, intermediate_size=32)
        return transformers.RobertaModel(config)
    text = {
        "vocab_size": vocab_size, **SIZES, "intermediate_size": 32, "projection_dim": 24,
        "bos_token_id": 0, "eos_token_id": 2, "pad_token_id": 2,
    }  # fmt: skip
    if kind == "clip_text":
        return transformers.CLIPTextModelWithProjection(transformers.CLIPTextConfig(**text))
    vision = {**SIZES, "intermediate_size": 32, "image_size": 16, "patch_size": 8}
    config = transformers.CLIPConfig(text_config=text, vision_config=vision, projection_dim=24)
    return transformers.CLIPModel(config)


def encoded(sentences, *, seed=0, width=6):
    """Random vectors for sentences of any number of words, in no time."""
    generator = torch.Generator().manual_seed(seed)
    lengths = torch.tensor([len(s.split()) for s in sentences])
    longest = max(lengths.tolist(), default=0)
    mask = torch.arange(longest) < lengths[:, None]
    words = torch.randn(len(sentences), longest, width, generator=generator) * mask[..., None]
    return EncodedSentences(torch.randn(len(sentences), width, generator=generator), words, mask)
