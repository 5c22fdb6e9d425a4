"""Parameters of training: an ensemble of SAEs, and the methods to compare."""

from typing import Literal

from pydantic import Field, model_validator

from mfr.config.base import Positive, PositiveFloat, Section

Inputs = Literal["raw", "scaled"]
Activation = Literal["topk", "topk_relu"]
Precision = Literal["float32", "tf32", "bfloat16"]
Matching = Literal["hungarian", "max", "max_symmetric", "mutual"]
Statistic = Literal["absolute", "cubed"]
DEAD_AFTER = (
    "Steps without being selected after which a latent counts as dead. A latent among the k largest is selected, even if "
    "`topk_relu` sets it to zero."
)


class Train(Section):
    """How an ensemble of SAEs is trained, whatever its method."""

    hidden: Positive = Field(description="Latents of each SAE, h.")
    k: list[Positive] = Field(description="Active latents of each SAE; the list's length is the number of SAEs, n.")
    activation: Activation = Field(
        "topk", description="`topk` keeps the k largest (the paper); `topk_relu` also sets negative ones to zero."
    )
    inputs: Inputs = Field(
        "raw",
        description="`raw` trains on the vectors as they are (the paper). `scaled` subtracts their mean and divides by one "
        "number, so that the mean square of their elements is 1. Either way, weights and errors are given for raw vectors.",
    )
    batch: Positive = Field(description="Vectors per step, B.")
    steps: Positive = Field(description="Training steps.")
    learning_rate: PositiveFloat = Field(description="Learning rate of AdamW.")
    weight_decay: float = Field(0.01, ge=0, description="Decoupled weight decay of AdamW.")
    precision: Precision = Field(
        "float32",
        description="Number format of the product x Wᵀ in training, its largest cost; all else stays float32. `tf32` has an "
        "effect only on a GPU.",
    )
    noise_db: float | None = Field(
        None,
        description="Signal-to-noise ratio, in dB, of white noise added to each vector that the SAEs see. Their "
        "reconstructions are compared with the vectors without noise. `null` adds none.",
    )
    log_every: Positive = Field(
        20, description="Steps between two rows of the learning curves; the first 100 steps also have a row every 5."
    )
    measure_every: Positive | None = Field(
        None,
        description="Every how many of these rows also report how similar the features are to other SAEs' and, for synthetic "
        "vectors, to the true ones. `null` never does: it takes a matching of all pairs of SAEs.",
    )

    @model_validator(mode="after")
    def _k_fits(self) -> "Train":
        if not self.k:
            raise ValueError("k is empty; give one number of active latents per SAE, such as [36, 36]")
        if max(self.k) > self.hidden:
            raise ValueError(f"k = {max(self.k)} is larger than hidden = {self.hidden}, the number of latents; lower k")
        return self


Alpha = PositiveFloat | Literal["balanced", "initial_loss", "relative"]


class Penalty(Section):
    """The auxiliary penalty on dissimilar features (paper, section 3.3)."""

    matching: Matching = Field(
        description="`hungarian` pairs latents one to one. `max` pairs each latent with its most similar one (the paper's "
        "formula); `max_symmetric` does so in both directions. `mutual` pairs only latents that are each other's most similar.",
    )
    alpha: Alpha = Field(
        "balanced",
        description="Weight α, a number or a rule. `balanced` makes the penalty equal to an SAE's reconstruction loss at the "
        "first step. `initial_loss` is that loss itself. `relative` is `balanced`, but falls with each SAE's loss.",
    )
    alpha_factor: PositiveFloat = Field(1.0, description="Factor that multiplies α.")
    warmup: int = Field(100, ge=0, description="Steps over which α rises from 0, as a half cosine.")
    latents: Literal["all", "dead", "live"] = Field(
        "all", description="Latents that are pulled towards their partners; `dead_after` separates `dead` from `live` ones."
    )
    dead_after: Positive = Field(20, description=DEAD_AFTER)
    refresh: Positive = Field(50, description="Steps between two matchings; partners stay the same in between.")
    max_gap: float = Field(
        0.005,
        ge=0,
        description="How far the mean cosine of one-to-one partners may be below the best possible before their candidates are "
        "listed again, which takes longer. 0 finds the best partners at every matching.",
    )


class Reinitialise(Section):
    """When an SAE with unbalanced firing is reinitialised (paper, section 3.3 and figure 6)."""

    statistic: Statistic = Field(
        "absolute",
        description="How unbalanced the firing is: the mean over latents of |f − k/h| / (k/h) (`absolute`, the paper's) or of "
        "its cube (`cubed`). f is the share of the batch in which a latent is selected.",
    )
    threshold: PositiveFloat = Field(1.0, description="Value of the statistic above which an SAE is reinitialised.")
    check_every: Positive = Field(25, description="Steps between two checks.")
    check_steps: Positive = Field(100, description="Steps after which no check is made.")
    max_reinits: Positive = Field(3, description="Reinitialisations per SAE, at most.")

    @model_validator(mode="after")
    def _is_checked(self) -> "Reinitialise":
        if self.check_every > self.check_steps:
            raise ValueError(
                f"check_every = {self.check_every} is more than check_steps = {self.check_steps}, so no SAE would ever be "
                "checked; lower check_every"
            )
        return self


class AuxK(Section):
    """AuxK, a loss that revives dead latents (Gao et al., 2024; openai/sparse_autoencoder)."""

    k: Positive | Literal["same"] = Field(
        description="Dead latents that reconstruct a vector's error; `same` is the SAE's own k. OpenAI uses about d/2."
    )
    weight: PositiveFloat = Field(
        1 / 32, description="Weight relative to the reconstruction loss, with each loss divided by its target's variance."
    )
    dead_after: Positive = Field(100, description=DEAD_AFTER)


class Transplant(Section):
    """Replaces dead latents with live latents of another SAE, those least like the SAE's own."""

    every: Positive = Field(
        50, description="Steps between two transplants; the donor SAE changes each time. The last step has none."
    )
    most: Positive = Field(5, description="Features that an SAE takes at a time, at most.")
    moments: Literal["donor", "zero"] = Field(
        "donor",
        description="Adam's moments of a replaced latent: the donor's, or zero. With zero, its steps are up to ten times "
        "larger for a while.",
    )
    dead_after: Positive = Field(50, description=DEAD_AFTER)


class Method(Section):
    """A named way of training; `{}` is the baseline, without any of these parts."""

    penalty: Penalty | None = Field(None, description="Pull the SAEs' features together.")
    reinitialise: Reinitialise | None = Field(None, description="Reinitialise SAEs with unbalanced firing.")
    auxk: AuxK | None = Field(None, description="Revive dead latents with an auxiliary loss.")
    transplant: Transplant | None = Field(None, description="Revive dead latents with features of the other SAEs.")
    learning_rate: PositiveFloat | None = Field(None, description="Replaces train.learning_rate.")
    inputs: Inputs | None = Field(None, description="Replaces train.inputs.")
    steps: Positive | None = Field(
        None, description="Replaces train.steps, for example to give a method the time that another needs."
    )
    noise_db: float | None = Field(
        None, description="Replaces train.noise_db. `null` keeps it, so a baseline without noise needs train.noise_db: null."
    )
    schedule: Literal["constant", "linear"] = Field(
        "constant", description="`linear` lowers the learning rate to 0 over the training steps."
    )

    def applied_to(self, train: Train) -> Train:
        """`train` with this method's own learning rate, inputs, steps and noise."""
        own = {"learning_rate": self.learning_rate, "inputs": self.inputs, "steps": self.steps, "noise_db": self.noise_db}
        return train.model_copy(update={name: value for name, value in own.items() if value is not None})
