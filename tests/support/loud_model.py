"""A random GPT-2 whose layers matter, as transformer-lens and as Hugging Face run it, and tokens for it."""

import pytest
import torch
from transformers import GPT2LMHeadModel

from mfr.config.language_model import TrainedHere
from mfr.sources.language_model.model import load, pin, prepared
from mfr.sources.manifest import MANIFEST
from tests.support.models import save_loud

HOOK = "blocks.0.hook_mlp_out"
SHAPE = TrainedHere(layers=3, width=16, heads=2, vocabulary=512, context=12, steps=1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return save_loud(SHAPE, tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def pinned(folder, tmp_path_factory):
    output = tmp_path_factory.mktemp("pinned")
    (output / MANIFEST).write_text(pin(str(folder), None).manifest.text())
    return output


@pytest.fixture(scope="module")
def bridge(pinned, folder):
    return load(prepared(pinned, str(folder)), torch.device("cpu"))


@pytest.fixture(scope="module")
def plain(folder):
    return GPT2LMHeadModel.from_pretrained(folder).eval()


@pytest.fixture(scope="module")
def tokens():
    return torch.randint(0, SHAPE.vocabulary, (5, SHAPE.context), generator=torch.Generator().manual_seed(0), dtype=torch.int32)
