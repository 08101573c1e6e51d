"""Tokenizes texts for a CLIP text tower."""

from __future__ import annotations

import gzip
import html
import importlib.util
import json
import logging
import string
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

from footage.indexer.embed.base import EmbedderError

log = logging.getLogger(__name__)

VOCABULARY_FILE = "bpe_simple_vocab_16e6.txt.gz"
"""OpenAI's file of byte-pair merges; the packages ``rf-clip`` and ``open_clip_torch`` carry it too."""
MERGE_COUNT = 48894
"""Number of merges that CLIP uses: 49152 tokens less 256 bytes, alone and at a word's end, and two special tokens."""
DEFAULT_CONTEXTS = {"clip": 77, "siglip": 64, "siglip2": 64}
"""Defaults of transformers when ``config.json`` leaves out ``max_position_embeddings``."""
START_TOKEN, END_TOKEN = "<|startoftext|>", "<|endoftext|>"
WORD_PATTERN = r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"


def openai_tokenizer(path: Path) -> Tokenizer:
    """Return OpenAI CLIP's byte-pair tokenizer, from its vocabulary file.

    Same rules as ``clip/simple_tokenizer.py`` of github.com/openai/CLIP once a text was cleaned (``clean_text``).
    """
    lines = gzip.decompress(path.read_bytes()).decode().split("\n")[1 : MERGE_COUNT + 1]
    merges = [(pair[0], pair[1]) for line in lines if len(pair := line.split()) == 2]
    letters = _byte_letters()
    tokens = [
        *letters,
        *(f"{letter}</w>" for letter in letters),
        *("".join(pair) for pair in merges),
        START_TOKEN,
        END_TOKEN,
    ]
    ids = {token: i for i, token in enumerate(tokens)}
    tokenizer = Tokenizer(models.BPE(ids, merges, end_of_word_suffix="</w>", unk_token=END_TOKEN))
    squeeze = normalizers.Replace(Regex(r"\s+"), " ")
    tokenizer.normalizer = normalizers.Sequence([squeeze, normalizers.Lowercase()])
    words = pre_tokenizers.Split(Regex(WORD_PATTERN), behavior="removed", invert=True)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([words, pre_tokenizers.ByteLevel(add_prefix_space=False)])
    end, start = (END_TOKEN, ids[END_TOKEN]), (START_TOKEN, ids[START_TOKEN])
    tokenizer.post_processor = processors.RobertaProcessing(end, start, trim_offsets=False, add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([START_TOKEN, END_TOKEN])
    return tokenizer


def _byte_letters() -> list[str]:
    """Return a printable letter for each byte, in the order of OpenAI's vocabulary: printable bytes first."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    return [chr(byte) for byte in printable] + [chr(256 + i) for i in range(256 - len(printable))]


def find_vocabulary(places: Sequence[Path]) -> Path | None:
    """Return OpenAI's vocabulary file in one of these folders, or in an installed package that carries it."""
    packages = [spec for name in ("clip", "open_clip") if (spec := importlib.util.find_spec(name))]
    installed = [Path(place) for spec in packages for place in spec.submodule_search_locations or ()]
    return next((path for place in (*places, *installed) if (path := place / VOCABULARY_FILE).is_file()), None)


def cleaning_mode(config: dict[str, Any], tokenizer_config: dict[str, Any]) -> str:
    """Return how the model's texts were cleaned in training: ``canonicalize``, ``lower``, ``whitespace`` or nothing.

    OpenCLIP writes it in ``config.json`` (``text_cfg.tokenizer_kwargs.clean``) or leaves its tokenizers' defaults:
    ``whitespace`` for those of transformers, ``lower`` for its own, which is OpenAI's. Transformers writes
    ``do_lower_case`` for the tokenizer; CLIP and SigLIP were trained on lower case in any case.
    """
    text_config = config.get("text_cfg")
    if text_config is not None:
        options = text_config.get("tokenizer_kwargs") or {}
        return str(options.get("clean", "whitespace" if text_config.get("hf_tokenizer_name") else "lower"))
    known = str(config.get("model_type", "")).startswith(("clip", "siglip"))
    return "lower" if tokenizer_config.get("do_lower_case") or known else ""


def clean_text(text: str, cleaning: str) -> str:
    """Clean a text as the tokenizers of OpenAI, Roboflow's rf-clip and OpenCLIP do (``basic_clean``).

    Curly quotes become straight, full-width letters and ligatures plain, mojibake is decoded, and HTML entities too.
    """
    if not cleaning:
        return text
    if "&" in text or not (text.isascii() and text.isprintable()):  # ftfy leaves anything else as it is
        import ftfy  # as slow to import as everything else that a search needs for its words

        text = html.unescape(html.unescape(ftfy.fix_text(text)))
    text = " ".join(text.split())
    if cleaning == "canonicalize":
        text = " ".join(text.replace("_", " ").translate(str.maketrans("", "", string.punctuation)).split())
    return text if cleaning == "whitespace" else text.lower()


class TextTokenizer:
    """Tokenizes texts to rows as long as the model's context.

    Args:
        tokenizer: the model's tokenizer.
        context: how many tokens a text may have, start and end tokens included.
        pad: the token that pads a row.
        cleaning: see ``cleaning_mode``.
    """

    def __init__(self, tokenizer: Tokenizer, context: int, pad: str, cleaning: str) -> None:
        pad_id = tokenizer.token_to_id(pad)
        if pad_id is None:
            raise EmbedderError(f"the tokenizer does not know the padding token {pad!r} that its configuration names")
        tokenizer.enable_truncation(context)
        tokenizer.enable_padding(length=context, pad_id=pad_id, pad_token=pad)
        self._tokenizer, self._context_length, self._cleaning = tokenizer, context, cleaning

    @classmethod
    def load(
        cls, path: Path, context: int | None, config: dict[str, Any], tokenizer_config: dict[str, Any]
    ) -> TextTokenizer:
        """TextTokenizer from ``tokenizer.json`` or OpenAI's vocabulary file.

        Args:
            context: input length of the network's graph, None when it takes any length.
        """
        try:
            openai = path.name == VOCABULARY_FILE
            tokenizer = openai_tokenizer(path) if openai else Tokenizer.from_file(str(path))
        except Exception as error:  # tokenizers raises bare Exception
            raise EmbedderError(f"{path} cannot be read as a tokenizer ({error}); fetch the model again") from error
        length = context or _context_length(config, tokenizer_config) or (77 if openai else None)
        if length is None:
            raise EmbedderError(
                f"neither the network nor the files beside {path} say how long a text may be; "
                "fetch the model's tokenizer_config.json and config.json too"
            )
        pad = _token_text(tokenizer_config.get("pad_token")) or _padding_token(path) or (END_TOKEN if openai else "")
        cleaning = "lower" if openai else cleaning_mode(config, tokenizer_config)
        return cls(tokenizer, length, pad, cleaning)

    def __call__(self, texts: Sequence[str]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return token ids and attention mask, both (n, context). Longer texts are cut, with a warning."""
        encodings = self._tokenizer.encode_batch([clean_text(text, self._cleaning) for text in texts])
        for text, encoding in zip(texts, encodings, strict=True):
            if encoding.overflowing:
                log.warning("only the first %d tokens of this text count: %.60s...", self._context_length, text)
        shape = (len(texts), self._context_length)
        ids = np.array([encoding.ids for encoding in encodings], np.int64).reshape(shape)
        return ids, np.array([encoding.attention_mask for encoding in encodings], np.int64).reshape(shape)


def _context_length(config: dict[str, Any], tokenizer_config: dict[str, Any]) -> int | None:
    lengths = [
        (config.get("text_cfg") or {}).get("context_length"),
        (config.get("text_config") or {}).get("max_position_embeddings"),
        tokenizer_config.get("model_max_length"),
        DEFAULT_CONTEXTS.get(str(config.get("model_type"))),
    ]
    return next((int(length) for length in lengths if length and int(length) < 100_000), None)


def _token_text(token: Any) -> str:
    """Return a token's text; transformers writes it as a string or as a dictionary with ``content``."""
    return str(token["content"] if isinstance(token, dict) else token or "")


def _padding_token(path: Path) -> str:
    """Return the padding token that ``tokenizer.json`` names."""
    if path.suffix != ".json":
        return ""
    padding = json.loads(path.read_text(encoding="utf-8")).get("padding") or {}
    return str(padding.get("pad_token", ""))
