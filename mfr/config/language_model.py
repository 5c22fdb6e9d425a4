"""Parameters of a language model: which model, on what text, at which hook point."""

from math import ceil
from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from mfr.config.base import Filled, PathOrName, Positive, PositiveFloat, Section, Seed
from mfr.config.source import Evaluate, SourceSection, Stages


class TrainedHere(Section):
    """The small GPT-2 that is trained if no model is named."""

    layers: Positive = Field(4, description="Transformer blocks.")
    width: Positive = Field(128, description="Size of the residual stream.")
    heads: Positive = Field(4, description="Attention heads.")
    vocabulary: int = Field(4096, ge=512, description="Tokens of the byte-pair encoding.")
    context: Annotated[int, Field(gt=1)] = Field(128, description="Tokens per training sequence.")
    batch: Positive = Field(8, description="Sequences per step.")
    steps: Positive = Field(description="Training steps.")
    learning_rate: PositiveFloat = Field(0.002, description="Peak learning rate of AdamW.")
    seed: Seed = Field(0, description="Seed of weights and data order.")

    @model_validator(mode="after")
    def _heads_divide_width(self) -> "TrainedHere":
        if self.width % self.heads:
            raise ValueError(f"width = {self.width} must be a multiple of heads = {self.heads}")
        return self


class PrepareModel(Section):
    """The language model whose activations are studied."""

    model: PathOrName = Field(
        "trained_here",
        description="`trained_here`, a local Hugging Face folder, or a model name that transformer-lens knows, such as `gpt2`.",
    )
    revision: Filled | None = Field(None, description="Commit, tag or branch, only for a model from the hub.")
    trained_here: TrainedHere | None = Field(None, description="Shape and training of the model `trained_here`.")

    @model_validator(mode="after")
    def _trained_here_is_described(self) -> "PrepareModel":
        if self.model == "trained_here" and self.trained_here is None:
            raise ValueError("model = trained_here needs the section trained_here; add it with at least `steps`")
        if self.model == "trained_here" and self.revision is not None:
            raise ValueError(
                f"revision = {self.revision}, but a model that is trained here has none; remove it, or name another model"
            )
        return self


class Text(Section):
    """The documents that the model reads."""

    text: PathOrName = Field(
        "installed_documentation",
        description="`installed_documentation` (the docstrings of installed packages, one document per module); a text "
        "file (one per paragraph); a `.jsonl`, `.ndjson`, `.json`, `.csv`, `.tsv` or `.parquet` file (one per row); a "
        "folder of such files (one per text file); or `hub:NAME`, a data set of the Hugging Face hub (one per row). In a "
        "path, `~` is your home; `$HOME` is not replaced. Text is UTF-8, or UTF-16 with a byte-order mark, and may be packed "
        "as `.gz`, `.bz2` or `.xz`. In a folder, links are followed and hidden files are ignored. A file that is not there, "
        "cannot be opened, is empty, repeats another or cannot be text by its name and beginning, such as an image, is left "
        "out; stderr and the vectors' attribute `text` give the reason. It is an error if nothing is left, if such a file is "
        "named itself, or if a text has a fault further on.",
    )
    column: Filled = Field("text", description="Column with the text, in a file of rows or a data set of the hub.")
    packages: Annotated[list[str], Field(min_length=1)] = Field(
        ["scipy", "numpy", "pandas", "mne"],
        description="Packages whose docstrings are read, without those of their tests.",
    )
    heldout_share: float = Field(0.1, gt=0, lt=1, description="Share of the documents that is held out.")


class DumpActivations(Section):
    """Which activations are written, and for what text."""

    hook: Filled = Field("blocks.0.hook_mlp_out", description="Hook point of transformer-lens.")
    context: Annotated[int, Field(gt=1)] = Field(128, description="Tokens per sequence; the first one (BOS) gives no vector.")
    left_out: Literal["bos", "special_tokens"] = Field(
        "bos",
        description="Positions that give no vector: only the first of a sequence (`bos`), or also all special tokens, such as "
        "the one between two documents. The evaluation does not replace the activations at these positions.",
    )
    train_tokens: Positive = Field(description="Training vectors.")
    heldout_tokens: Positive = Field(description="Held-out vectors.")
    batch: Positive = Field(
        32, description="Sequences per forward pass; a CPU takes them in smaller parts, with the same numbers."
    )
    dtype: Literal["float16", "float32"] = Field(
        "float16", description="Number format of the stored vectors; float32 for all if a value would overflow float16."
    )


class EvaluateLanguageModel(Evaluate):
    """What is measured in the model itself."""

    sequences: Positive = Field(100, description="Held-out sequences on which cross-entropies are measured.")


class LanguageModel(SourceSection):
    """Activations of a language model."""

    stages: ClassVar[Stages] = {
        "prepare_model": ["prepare_model", "text"],
        "dump_activations": ["text", "dump_activations"],
    }

    prepare_model: PrepareModel
    text: Text = Text()
    dump_activations: DumpActivations
    evaluate: EvaluateLanguageModel = EvaluateLanguageModel()

    @model_validator(mode="after")
    def _model_reads_context(self) -> "LanguageModel":
        prepare, context = self.prepare_model, self.dump_activations.context
        if prepare.model == "trained_here" and prepare.trained_here and context > prepare.trained_here.context:
            raise ValueError(
                f"dump_activations.context = {context} is more than prepare_model.trained_here.context = "
                f"{prepare.trained_here.context}, the most the model can read; lower the first or raise the second"
            )
        return self

    @model_validator(mode="after")
    def _sequences_are_dumped(self) -> "LanguageModel":
        # If special tokens give no vectors, the number of sequences depends on the text, so it is not checked here.
        dump, wanted = self.dump_activations, self.evaluate.sequences
        dumped = ceil(dump.heldout_tokens / (dump.context - 1))
        if dump.left_out == "bos" and wanted > dumped:
            raise ValueError(
                f"evaluate.sequences = {wanted}, but dump_activations.heldout_tokens = {dump.heldout_tokens} with context = "
                f"{dump.context} gives only {dumped}; lower sequences or raise heldout_tokens"
            )
        return self
