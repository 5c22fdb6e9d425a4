"""Files of a model's folder: which ones are read, and whether they are what their names say."""

import json
from pathlib import Path

from safetensors import SafetensorError, safe_open

from mfr.runtime.errors import UserError, first_sentence
from mfr.runtime.wording import listed
from mfr.sources.manifest import is_web_page, pointer

CONFIG, WEIGHTS, INDEX, ADAPTER = "config.json", "model.safetensors", "model.safetensors.index.json", "adapter_config.json"
TOKENIZERS = ("tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt", "spiece.model")
# What transformers reads of a causal language model.
READ = (
    CONFIG,
    "generation_config.json",
    "*.safetensors",
    "*.safetensors.index.json",
    "tokenizer*",
    "special_tokens_map.json",
    "added_tokens.json",
    "chat_template*",
    "vocab*",
    "merges.txt",
    "bpe.codes",
    "emoji.json",
    "*.model",
    "*.spm",
)
OTHER_WEIGHTS = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.h5", "*.msgpack", "*.gguf", "*.npz")
BYTE_ORDER_MARK = b"\xef\xbb\xbf"
NAMES_SHOWN = 3


def files_read(folder: Path) -> list[Path]:
    """Files of a model's folder that loading the model may read, sorted by name."""
    return sorted({path for pattern in READ for path in folder.glob(pattern) if path.is_file() and path.name[0] != "."})


def weight_files(folder: Path) -> list[Path]:
    """The safetensors files of a model's folder, sorted by name."""
    return sorted(path for path in folder.glob("*.safetensors") if path.is_file())


def check_files(folder: Path) -> None:
    """Raise `UserError` if a part of a model is missing, or a file is not what its name says."""
    if not (folder / CONFIG).is_file():
        raise UserError(f"{folder}: not a Hugging Face model (no {CONFIG}); name a folder that save_pretrained wrote")
    if (folder / ADAPTER).is_file():
        raise UserError(
            f"{folder}: has a PEFT adapter ({ADAPTER}), which is not read; merge it into the model with merge_and_unload, and "
            "save the result"
        )
    _check_weights_are_safe(folder)
    if not any((folder / name).is_file() for name in TOKENIZERS):
        raise UserError(f"{folder}: no tokenizer (none of {', '.join(TOKENIZERS)}); save the model's tokenizer there")
    for path in files_read(folder):
        try:
            _check_content(path)
        except OSError as error:
            raise UserError(f"{path}: cannot be read ({error.strerror or error}); correct its permissions") from None
    if not (folder / WEIGHTS).is_file() and (folder / INDEX).is_file():
        _check_shards(folder)


def _check_weights_are_safe(folder: Path) -> None:
    if weight_files(folder):
        return
    others = sorted(path.name for pattern in OTHER_WEIGHTS for path in folder.glob(pattern))
    if others:
        raise UserError(
            f"{folder}: has weights only as {others[0]}, and only safetensors are read, because other formats can run code; "
            "if you trust that file, load it with transformers and write the model again with save_pretrained"
        )
    raise UserError(f"{folder}: no weights (no *.safetensors); save the model's weights there")


def _check_content(path: Path) -> None:
    with path.open("rb") as file:
        start = file.read(512)
    if not start.strip():
        raise UserError(f"{path}: empty; download or save it again")
    if reason := pointer(start, "file"):
        raise UserError(f"{path}: {reason}")
    if is_web_page(start):
        raise UserError(f"{path}: a web page, not the file itself; download it again")
    if path.suffix == ".json":
        if start.startswith(BYTE_ORDER_MARK):
            raise UserError(f"{path}: starts with a byte-order mark, which JSON does not allow; save it as UTF-8 without one")
        _read_json(path)
    if path.suffix == ".safetensors":
        try:
            with safe_open(path, framework="pt"):
                pass
        except SafetensorError as error:
            raise UserError(
                f"{path}: cut short, or not safetensors ({first_sentence(error)}); download or save it again"
            ) from None


def _read_json(path: Path) -> dict[str, object]:
    try:
        value = json.loads(path.read_text("utf-8"))
    except UnicodeDecodeError:
        raise UserError(f"{path}: not UTF-8 text; download or save it again") from None
    except json.JSONDecodeError as error:
        raise UserError(f"{path}: not valid JSON (line {error.lineno}: {error.msg}); download or save it again") from None
    except RecursionError:
        raise UserError(f"{path}: not valid JSON (nested too deeply); download or save it again") from None
    if not isinstance(value, dict):
        raise UserError(f"{path}: not a JSON object; download or save it again")
    return value


def _check_shards(folder: Path) -> None:
    """Raise `UserError` if the index names files that are missing."""
    shards = _read_json(folder / INDEX).get("weight_map")
    if not isinstance(shards, dict) or not shards:
        raise UserError(f"{folder / INDEX}: does not map tensors to files (no weight_map); download or save it again")
    missing = sorted({str(shard) for shard in shards.values()} - {path.name for path in weight_files(folder)})
    if missing:
        shown = listed(missing, NAMES_SHOWN)
        raise UserError(f"{folder / INDEX}: names {shown}, missing from the folder; fetch all files of the model")
