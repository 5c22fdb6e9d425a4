"""What only synthetic vectors report: claims about true features, and figures of latents."""

from pathlib import Path

from mfr.comparison.claims.common import LATENT
from mfr.comparison.claims.synthetic import claims
from mfr.comparison.figures import synthetic as figures_of_truth
from mfr.comparison.report import Numbers
from mfr.comparison.runs import Runs
from mfr.comparison.summary import over_k
from mfr.comparison.tables import write_table
from mfr.config.synthetic import Synthetic

TRUTH_MEASURES = {"truth_mmcs": "MMCS to the truth", "recovered_90": "true features recovered", "across": "cosine across SAEs"}
LATENT_COLUMNS = ["across_max", "across_hungarian", "truth_max", "truth_hungarian", "frequency", "between"]


def write(runs: Runs, folder: Path) -> None:
    """Write claims, latents and learning curves, and the figures that need the true features."""
    section = runs.section
    assert isinstance(section, Synthetic)
    nearest = runs.between.groupby(["method", *LATENT], as_index=False)["between"].mean()
    latents = runs.latents.merge(nearest, on=["method", *LATENT], how="left")
    rules = {name: method.reinitialise for name, method in section.methods.items() if method.reinitialise}
    found = claims(runs.values, latents, runs.between, section.methods, section.evaluate.recovered_at)
    write_table(found, folder / "claims.csv")
    write_table(latents[["method", *LATENT, *LATENT_COLUMNS]], folder / "latents.csv", digits=4)
    write_table(runs.curves, folder / "curves.csv", digits=4)
    figures_of_truth.similarities(latents).savefig(folder / "similarity.png")
    figures_of_truth.activity(latents).savefig(folder / "activity.png")
    figures_of_truth.uneven_initialisations(runs.curves, rules).savefig(folder / "unevenness.png")
    figures_of_truth.over_steps(runs.curves, TRUTH_MEASURES).savefig(folder / "truth.png")


def numbers(runs: Runs) -> Numbers:
    """Share of true features that each method recovers, a mean over k and seeds."""
    return Numbers({method: {"recovered": share} for method, share in over_k(runs.summary, "truth_recovered").items()})
