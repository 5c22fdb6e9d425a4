"""The source object of `synthetic`, whose training vectors may be drawn on demand."""

from functools import partial

from mfr.compute.seeds import stream_seed
from mfr.config.synthetic import GenerateSynthetic
from mfr.sources.source import Draw, Source
from mfr.sources.synthetic.generator import codes


class SyntheticSource(Source):
    """Vectors with known features."""

    vectors_by = "generate_synthetic"
    reported_by = "mfr.comparison.synthetic"

    def draw(self, parameters: str, seed: int) -> Draw:
        """A function that draws codes from an endless stream, one stream per SAE seed."""
        settings = GenerateSynthetic.model_validate_json(parameters)
        return partial(codes, settings, stream_seed("vectors drawn", settings.seed, seed))


SOURCE = SyntheticSource()
