"""Parameters of training: an ensemble of SAEs, and the methods that are compared."""

from typing import Literal

from pydantic import Field, model_validator

from mfr.config.base import Positive, PositiveFloat, Section

Inputs = Literal["raw", "scaled"]
DEAD_AFTER = (
    "A latent that was not selected, as one of the k largest, for so many steps is dead; one that `topk_relu` sets to zero was "
    "selected."
)


class Train(Section):
    """How an ensemble of SAEs is trained, whatever its method."""

    hidden: Positive = Field(description="Latents of each SAE, h.")
    k: list[Positive] = Field(description="Active latents of each SAE; the list's length is the number of SAEs, n.")
    activation: Literal["topk", "topk_relu"] = Field(
        "topk", description="`topk` keeps the k largest (the paper); `topk_relu` also sets negative ones to zero."
    )
    inputs: Inputs = Field(
        "raw",
        description="What SAEs are trained on: the vectors as they are (the paper), or `scaled`: less their mean, and divided "
        "by one number so that the mean square of their elements is 1. Weights and errors are in either case those for vectors "
        "as they are.",
    )
    batch: Positive = Field(description="Vectors a step, B.")
    steps: Positive = Field(description="Steps of training.")
    learning_rate: PositiveFloat = Field(description="Learning rate of AdamW.")
    weight_decay: float = Field(0.01, ge=0, description="Decoupled weight decay of AdamW.")
    precision: Literal["float32", "tf32", "bfloat16"] = Field(
        "float32",
        description="Number format of the product x Wᵀ in training, its largest cost; the rest stays float32. `tf32` has an "
        "effect on a GPU alone, where it also rounds the products of matchings.",
    )
    noise_db: float | None = Field(
        None,
        description="White noise that is added to what the SAEs see, at this signal-to-noise ratio of each vector in dB; their "
        "reconstructions are held against the vectors without it. `null` adds none.",
    )
    log_every: Positive = Field(
        20, description="Steps between two rows of the learning curves; the first 100 have one every 5."
    )
    measure_every: Positive | None = Field(
        None,
        description="Rows of the learning curves between two that also say how similar the features are to other SAEs' and, of "
        "synthetic vectors, to the true ones; null for none, since it takes a matching of all pairs.",
    )

    @model_validator(mode="after")
    def _k_fits(self) -> "Train":
        if not self.k:
            raise ValueError("k is empty: give one number of active latents an SAE, such as [36, 36]")
        if max(self.k) > self.hidden:
            raise ValueError(f"k = {max(self.k)} is larger than hidden = {self.hidden}: an SAE has only that many latents")
        return self


Alpha = PositiveFloat | Literal["balanced", "initial_loss", "relative"]


class Penalty(Section):
    """The auxiliary penalty on dissimilar features (paper, section 3.3)."""

    matching: Literal["hungarian", "max", "max_symmetric", "mutual"] = Field(
        description="`hungarian` pairs latents one to one; `max` takes each latent's most similar one (the paper's formula), "
        "`max_symmetric` so in both directions; `mutual` pairs those alone that are each other's most similar.",
    )
    alpha: Alpha = Field(
        "balanced",
        description="Weight α: a number; `balanced` makes the penalty equal to an SAE's reconstruction loss at the first step; "
        "`initial_loss` takes the first step's reconstruction loss; `relative` is `balanced`, but falls with each SAE's loss.",
    )
    alpha_factor: PositiveFloat = Field(1.0, description="Multiplies α.")
    warmup: int = Field(100, ge=0, description="Steps over which α rises from 0, as a half cosine.")
    latents: Literal["all", "dead", "live"] = Field(
        "all", description="Which latents are pulled towards their partners; `dead` and `live` ones are told by dead_after."
    )
    dead_after: Positive = Field(20, description=DEAD_AFTER)
    refresh: Positive = Field(50, description="Steps between two matchings; partners are kept in between.")
    max_gap: float = Field(
        0.005,
        ge=0,
        description="By how much the mean cosine of one-to-one partners may fall short of the best possible before they are "
        "solved exactly, which is slow; 0 solves exactly at every matching.",
    )


class Reinitialise(Section):
    """When an SAE with unevenly used latents starts anew (paper, section 3.3 and figure 6)."""

    statistic: Literal["absolute", "cubed"] = Field(
        "absolute",
        description="Mean over latents of |f − k/h| / (k/h), f being the share of the batch in which a latent is selected "
        "(`absolute`, the paper's), or of its third power (`cubed`).",
    )
    threshold: PositiveFloat = Field(1.0, description="An SAE whose statistic is above this starts anew.")
    check_every: Positive = Field(25, description="Steps between two checks.")
    check_steps: Positive = Field(100, description="No check after this many steps.")
    max_reinits: Positive = Field(3, description="An SAE starts anew at most this often.")

    @model_validator(mode="after")
    def _is_checked(self) -> "Reinitialise":
        if self.check_every > self.check_steps:
            raise ValueError(
                f"check_every = {self.check_every} is more than check_steps = {self.check_steps}: no SAE would ever be checked"
            )
        return self


class AuxK(Section):
    """An auxiliary loss that revives dead latents (Gao et al., 2024, as openai/sparse_autoencoder has it)."""

    k: Positive | Literal["same"] = Field(
        description="Dead latents that reconstruct a vector's error; `same` takes as many as the SAE has active ones. OpenAI "
        "takes about d/2."
    )
    weight: PositiveFloat = Field(1 / 32, description="Weight against the reconstruction loss, each relative to its target.")
    dead_after: Positive = Field(100, description=DEAD_AFTER)


class Transplant(Section):
    """Overwrites dead latents with features of another SAE that are least like one's own."""

    every: Positive = Field(
        50, description="Steps between two transplants, none after the last step; the SAE to take from changes each time."
    )
    most: Positive = Field(5, description="An SAE takes at most so many features at a time.")
    moments: Literal["donor", "zero"] = Field(
        "donor",
        description="Adam's moments of a latent that took a feature: the donor's; or zero, after which its steps are for a "
        "while up to ten times larger.",
    )
    dead_after: Positive = Field(50, description=DEAD_AFTER)


class Method(Section):
    """A named way of training; `{}` is the baseline, which has no part of these."""

    penalty: Penalty | None = Field(None, description="Pull the SAEs' features together.")
    reinitialise: Reinitialise | None = Field(None, description="Start SAEs with inactive latents anew.")
    auxk: AuxK | None = Field(None, description="Revive dead latents by an auxiliary loss.")
    transplant: Transplant | None = Field(None, description="Revive dead latents by features of the other SAEs.")
    learning_rate: PositiveFloat | None = Field(None, description="In place of train.learning_rate.")
    inputs: Inputs | None = Field(None, description="In place of train.inputs.")
    steps: Positive | None = Field(
        None, description="In place of train.steps: to give a method the time that another needs for its steps."
    )
    noise_db: float | None = Field(
        None, description="In place of train.noise_db, which `null` keeps: a baseline without noise needs train.noise_db: null."
    )
    schedule: Literal["constant", "linear"] = Field(
        "constant", description="`linear` lowers the learning rate to 0 over the steps of training."
    )

    def applied_to(self, train: Train) -> Train:
        """The settings of training, with this method's own learning rate, inputs, steps and noise."""
        own = {"learning_rate": self.learning_rate, "inputs": self.inputs, "steps": self.steps, "noise_db": self.noise_db}
        return train.model_copy(update={name: value for name, value in own.items() if value is not None})
