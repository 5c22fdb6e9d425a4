import torch

from mfr.seeds import numpy_stream, stream_seed, torch_stream


def test_purposes_with_equal_keys_have_streams_of_their_own() -> None:
    purposes = ["features", "vectors train", "vectors heldout", "weights", "order"]
    assert len({stream_seed(purpose, 0) for purpose in purposes}) == len(purposes)
    assert stream_seed("weights", 1, 23) != stream_seed("weights", 12, 3)


def test_streams_repeat() -> None:
    assert torch.equal(
        torch.randn(4, generator=torch_stream("weights", 1)), torch.randn(4, generator=torch_stream("weights", 1))
    )
    assert numpy_stream("order", 0).random() == numpy_stream("order", 0).random()
    assert numpy_stream("order", 0).random() != numpy_stream("order", 1).random()
