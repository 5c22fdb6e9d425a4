import pytest

from mfr.runtime.errors import first_sentence


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (ValueError("The file is broken. Try another one.\nOr two."), "The file is broken"),
        (
            OSError("No file named model.safetensors\n  in the folder!  See there."),
            "No file named model.safetensors in the folder!",
        ),
        (ValueError("expected 2.5 of v1.0"), "expected 2.5 of v1.0"),
        (KeyError("model_type"), "KeyError: 'model_type'"),
        (RuntimeError(), "RuntimeError"),
    ],
)
def test_the_first_sentence_of_an_error_is_one_line(error: Exception, sentence: str) -> None:
    assert first_sentence(error) == sentence
