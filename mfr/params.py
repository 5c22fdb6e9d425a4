"""Every parameter of an experiment, typed: what params.yaml may hold.

The schema for editors and docs/configuration.md are generated from here (`python -m workflow.schema`).
"""

from math import ceil
from typing import Annotated, Literal

from pydantic import Field, model_validator

from mfr.eeg_params import PrepareRecordings, PreprocessEeg
from mfr.method import Method, Train
from mfr.section import Name, Positive, PositiveFloat, Section, Seed

Source = Literal["synthetic", "language_model", "eeg"]
SOURCES: tuple[Source, ...] = ("synthetic", "language_model", "eeg")


class GenerateSynthetic(Section):
    """Vectors with known features (paper, section 3.1)."""

    reading: Literal["every_group_k3", "one_group_k3", "one_group_k36"] = Field(
        "every_group_k3",
        description="What is active in a vector: 3 features in every group, 3 in one group, or 36 in one group.",
    )
    dimension: Positive = Field(256, description="Size of a vector, d.")
    features: Annotated[int, Field(gt=0, le=65536)] = Field(512, description="Number of true features, G.")
    groups: Positive = Field(12, description="Groups of features that are active together, E.")
    decay: float = Field(0.99, ge=0.001, le=1, description="λ: feature j is chosen with a probability proportional to λʲ.")
    train_rows: Positive | None = Field(
        description="Vectors for training; `null` stores none: every batch is drawn when it is used, without end."
    )
    heldout_rows: Positive = Field(description="Vectors for evaluation.")
    seed: Seed = Field(0, description="Seed of features and vectors; the SAEs' seeds are `seeds`.")

    @property
    def active_per_group(self) -> int:
        """K: features drawn in an active group."""
        return 36 if self.reading == "one_group_k36" else 3

    @property
    def every_group(self) -> bool:
        """Whether all groups are active in each vector, rather than one."""
        return self.reading == "every_group_k3"

    @model_validator(mode="after")
    def _groups_hold_k(self) -> "GenerateSynthetic":
        smallest = self.features // self.groups
        if smallest < self.active_per_group:
            raise ValueError(
                f"reading {self.reading} draws {self.active_per_group} features from a group, but {self.features} features "
                f"in {self.groups} groups leave only {smallest} in one: use fewer groups or more features"
            )
        return self


class TrainedHere(Section):
    """The small GPT-2 that is trained when no model is named."""

    layers: Positive = Field(4, description="Transformer blocks.")
    width: Positive = Field(128, description="Size of the residual stream.")
    heads: Positive = Field(4, description="Attention heads.")
    vocabulary: int = Field(4096, ge=512, description="Tokens of the byte-pair encoding.")
    context: Annotated[int, Field(gt=1)] = Field(128, description="Tokens in a training sequence.")
    batch: Positive = Field(8, description="Sequences a step.")
    steps: Positive = Field(description="Steps of training.")
    learning_rate: PositiveFloat = Field(0.002, description="Peak learning rate of AdamW.")
    seed: Seed = Field(0, description="Seed of weights and order.")

    @model_validator(mode="after")
    def _heads_divide_width(self) -> "TrainedHere":
        if self.width % self.heads:
            raise ValueError(f"width = {self.width} must be a multiple of heads = {self.heads}")
        return self


class PrepareModel(Section):
    """The language model whose activations are studied."""

    model: str = Field(
        "trained_here",
        description="`trained_here`, a local Hugging Face folder, or a name that transformer-lens boots, such as `gpt2`.",
    )
    revision: str | None = Field(None, description="Commit, tag or branch of a model from the hub; no other has one.")
    trained_here: TrainedHere | None = Field(None, description="Shape and training of the model `trained_here`.")

    @model_validator(mode="after")
    def _trained_here_is_described(self) -> "PrepareModel":
        if self.model == "trained_here" and self.trained_here is None:
            raise ValueError("model is trained_here: the section trained_here must say how (steps, …)")
        if self.model == "trained_here" and self.revision is not None:
            raise ValueError(
                f"revision = {self.revision}, but a model that is trained here has none: leave it out, or name a model"
            )
        return self


class Text(Section):
    """The documents that the model reads."""

    text: str = Field(
        "installed_documentation",
        description="`installed_documentation` (the documentation strings of installed packages, each module a document); a "
        "text file (each paragraph a document); a `.jsonl` or `.parquet` file (each row a document); a folder of such files "
        "(each text file a document); or `hub:NAME`, a data set of the Hugging Face hub (each row a document).",
    )
    column: str = Field("text", description="Where rows have their text: in a `.jsonl` or `.parquet` file, or on the hub.")
    packages: list[str] = Field(
        ["scipy", "numpy", "pandas", "mne"],
        description="Packages whose documentation strings are read, their tests left out.",
    )
    heldout_share: float = Field(0.1, gt=0, lt=1, description="Share of the documents kept for evaluation.")


class DumpActivations(Section):
    """Which activations are written, and on what text."""

    hook: str = Field("blocks.0.hook_mlp_out", description="Hook point of transformer-lens.")
    context: Annotated[int, Field(gt=1)] = Field(
        128, description="Tokens in a sequence, the first of which (BOS) gives no vector."
    )
    left_out: Literal["bos", "special_tokens"] = Field(
        "bos",
        description="Positions that give no vector: the first of a sequence (`bos`), or also those of all special tokens, such "
        "as the one between two documents. The evaluation leaves the activations there as they are.",
    )
    train_tokens: Positive = Field(description="Vectors for training.")
    heldout_tokens: Positive = Field(description="Vectors for evaluation.")
    batch: Positive = Field(32, description="Sequences in a forward pass.")
    dtype: Literal["float16", "float32"] = Field(
        "float16", description="Number format of the stored vectors; all are float32 where a value would overflow float16."
    )


class EvaluateSynthetic(Section):
    """What is measured against the true features."""

    recovered_at: float = Field(0.9, gt=0, lt=1, description="Cosine above which a true feature counts as recovered.")


class EvaluateLanguageModel(Section):
    """What is measured in the model itself."""

    sequences: Positive = Field(100, description="Held-out sequences for the cross-entropies.")


class Denoise(Section):
    """What noise is added to held-out windows, to measure how much of it an SAE takes away."""

    windows: Positive = Field(100, description="Held-out windows to which each kind of noise is added, or all if fewer.")
    line_hz: PositiveFloat = Field(50.0, description="Frequency of the mains, added after the band-pass, in Hz.")
    seed: Seed = Field(0, description="Seed of the windows and of the noise.")


class Compare(Section):
    """How methods are compared."""

    versus: dict[Name, Name] = Field(
        description="Methods whose change in metrics and tables, and in the claims about language models, is against another "
        "one than `baseline`, such as `mfr: reinit`; `{}` for none. `contests.csv` has all against each rival."
    )


class SourceSection(Section):
    """What all sources share."""

    train: Train
    methods: dict[Name, Method] = Field(description="The methods that are compared; one is called `baseline`.")
    compare: Compare

    @model_validator(mode="after")
    def _methods_can_run(self) -> "SourceSection":
        if "baseline" not in self.methods:
            raise ValueError("methods has no `baseline`, which the others are compared with: add `baseline: {}`")
        for name, method in self.methods.items():
            if name in ("nan", "null"):
                raise ValueError(f"method {name} would be read from tables as a missing value: rename it")
            for part in ("penalty", "transplant"):
                if getattr(method, part) and len(self.train.k) < 2:
                    raise ValueError(
                        f"method {name} has a {part}, which needs at least two SAEs: train.k lists {len(self.train.k)}"
                    )
        return self

    @model_validator(mode="after")
    def _methods_are_known(self) -> "SourceSection":
        for name, other in self.compare.versus.items():
            if {name, other} - set(self.methods):
                raise ValueError(f"compare.versus has {name}: {other}, but the methods are {', '.join(self.methods)}")
        return self


class Synthetic(SourceSection):
    """Vectors with known features."""

    generate_synthetic: GenerateSynthetic
    evaluate: EvaluateSynthetic

    @model_validator(mode="after")
    def _saes_can_be_compared(self) -> "Synthetic":
        if len(self.train.k) < 2:
            raise ValueError(f"train.k lists {len(self.train.k)} SAE, but the study compares at least two")
        return self


class LanguageModel(SourceSection):
    """Activations of a language model."""

    prepare_model: PrepareModel
    text: Text
    dump_activations: DumpActivations
    evaluate: EvaluateLanguageModel

    @model_validator(mode="after")
    def _model_reads_context(self) -> "LanguageModel":
        prepare, context = self.prepare_model, self.dump_activations.context
        if prepare.model == "trained_here" and prepare.trained_here and context > prepare.trained_here.context:
            raise ValueError(
                f"dump_activations.context = {context} is more than prepare_model.trained_here.context = "
                f"{prepare.trained_here.context}, all that the model reads: lower the one, or raise the other"
            )
        return self

    @model_validator(mode="after")
    def _sequences_are_dumped(self) -> "LanguageModel":
        # Where special tokens give no vectors either, how many sequences it takes depends on the text.
        dump, wanted = self.dump_activations, self.evaluate.sequences
        dumped = ceil(dump.heldout_tokens / (dump.context - 1))
        if dump.left_out == "bos" and wanted > dumped:
            raise ValueError(
                f"evaluate.sequences = {wanted}, but dump_activations.heldout_tokens = {dump.heldout_tokens} with context = "
                f"{dump.context} take {dumped}: ask for fewer, or for more heldout_tokens"
            )
        return self


class Eeg(SourceSection):
    """Windows of EEG recordings."""

    prepare_recordings: PrepareRecordings
    preprocess_eeg: PreprocessEeg
    denoise: Denoise

    @model_validator(mode="after")
    def _methods_are_no_references(self) -> "Eeg":
        taken = sorted({"nothing", "pca", "wiener"} & set(self.methods))
        if taken:
            raise ValueError(f"methods has {', '.join(taken)}, which the tables call what SAEs are compared with: rename it")
        return self

    @model_validator(mode="after")
    def _line_is_sampled(self) -> "Eeg":
        if self.denoise.line_hz >= self.preprocess_eeg.rate_hz / 2:
            raise ValueError(
                f"denoise.line_hz = {self.denoise.line_hz} must lie below half of "
                f"preprocess_eeg.rate_hz = {self.preprocess_eeg.rate_hz}, or no window could hold it"
            )
        return self


class Execution(Section):
    """How the stages run; nothing here changes a result beyond rounding, or reruns a stage."""

    device: Literal["auto", "cpu", "cuda"] = Field(
        "auto", description="Where SAEs and models run; `auto` takes a GPU where there is one."
    )
    threads: Positive = Field(2, description="Threads of one stage.")
    workers: Positive = Field(1, description="Recordings that are filtered side by side, each in a process of its own.")
    progress_s: PositiveFloat | None = Field(
        None, description="Seconds between two lines of progress in a log; `null` writes none. A terminal always shows them."
    )
    checkpoint_s: PositiveFloat = Field(
        60.0, description="Seconds between two checkpoints of a training run; a dump of activations saves at least as often."
    )
    checkpoint_steps: Positive | None = Field(None, description="Steps between two checkpoints, if these come sooner.")


class Params(Section):
    """A whole experiment."""

    seeds: Annotated[list[Seed], Field(min_length=1)] = Field(description="One ensemble is trained for each seed and method.")
    synthetic: Synthetic
    language_model: LanguageModel
    eeg: Eeg
    execution: Execution

    @model_validator(mode="after")
    def _seeds_differ(self) -> "Params":
        if len(set(self.seeds)) < len(self.seeds):
            raise ValueError(f"seeds {self.seeds} holds one seed twice")
        return self

    def source(self, name: Source) -> Synthetic | LanguageModel | Eeg:
        """The section of one source."""
        sections: dict[Source, Synthetic | LanguageModel | Eeg] = {
            "synthetic": self.synthetic,
            "language_model": self.language_model,
            "eeg": self.eeg,
        }
        return sections[name]
