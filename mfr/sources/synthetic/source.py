"""Synthetic vectors as a source: their training vectors may be drawn as they are used."""

from functools import partial

from mfr.compute.seeds import stream_seed
from mfr.config.synthetic import GenerateSynthetic
from mfr.sources.source import Draw, Source
from mfr.sources.synthetic.generator import codes


class SyntheticSource(Source):
    """Vectors with known features."""

    def draw(self, parameters: str, seed: int) -> Draw:
        """Codes of an endless stream, one for each seed of SAEs."""
        settings = GenerateSynthetic.model_validate_json(parameters)
        return partial(codes, settings, stream_seed("vectors drawn", settings.seed, seed))


SOURCE = SyntheticSource()
