"""The source object of `language_model`: each vector is an activation at a hook point."""

from pathlib import Path

from mfr.config.language_model import LanguageModel
from mfr.config.source import SourceSection
from mfr.runtime import paths
from mfr.sources.source import Facts, Origin, Source


class LanguageModelSource(Source):
    """Activations of a language model."""

    vectors_by = "dump_activations"
    prepared = (paths.MODEL,)
    read_with_vectors = (paths.MODEL,)
    measured_by = "mfr.evaluation.splice"
    explained_by = "mfr.description.text"
    reported_by = "mfr.comparison.language_model"
    exported = True

    def outside(self, section: SourceSection) -> dict[str, tuple[str, Path]]:
        """The folder of the model."""
        assert isinstance(section, LanguageModel)
        return {"prepare_model.model": (section.prepare_model.model, paths.MODEL)}

    def origin(self, heldout: Facts) -> Origin:
        """The model, the hook point, and the length of the sequences.

        Only a model of the hub has a name: a folder's path is of this machine, and the name in its config.json may be that of
        the model from which it was trained.
        """
        # Imported here because it takes seconds, and training does not need it.
        from mfr.sources.language_model.model import ModelManifest

        model = ModelManifest.model_validate_json(heldout.fact("model"))
        return Origin(
            model_name=model.reference if model.revision else None,
            model_revision=model.revision,
            model_weights_sha256=model.weights_sha256,
            hook_name=heldout.fact("hook"),
            context_size=heldout.attached("tokens").shape[1],
            prepend_bos=True,
        )


SOURCE = LanguageModelSource()
