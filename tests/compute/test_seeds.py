import torch

from mfr.compute.seeds import numpy_stream, stream_seed, torch_stream
from mfr.config.synthetic import GenerateSynthetic
from mfr.saes.ensemble import Ensemble
from mfr.sources.synthetic.generator import true_features


def test_purposes_with_equal_keys_have_streams_of_their_own() -> None:
    purposes = ["features", "vectors train", "vectors heldout", "weights", "order"]
    assert len({stream_seed(purpose, 0) for purpose in purposes}) == len(purposes)
    assert stream_seed("weights", 1, 23) != stream_seed("weights", 12, 3)


def test_first_weights_are_not_drawn_as_the_true_features_are() -> None:
    truth = true_features(GenerateSynthetic(features=512, dimension=64, train_rows=1, heldout_rows=1, seed=0))
    W = Ensemble.random([1, 1], 512, 64, "topk", seed=0).W
    cosines = torch.nn.functional.normalize(torch.from_numpy(truth), dim=1) @ torch.cat([*W]).T
    # Of 512 · 1024 pairs of independent directions the largest cosine is about 5 / √64.
    assert cosines.abs().max() < 6.5 / 8


def test_streams_repeat() -> None:
    assert torch.equal(
        torch.randn(4, generator=torch_stream("weights", 1)), torch.randn(4, generator=torch_stream("weights", 1))
    )
    assert numpy_stream("order", 0).random() == numpy_stream("order", 0).random()
    assert numpy_stream("order", 0).random() != numpy_stream("order", 1).random()
