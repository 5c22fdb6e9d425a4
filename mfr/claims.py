"""Which of the paper's claims about synthetic vectors hold (paper, section 3), by intervals over seeds.

Values are means over an ensemble's SAEs, and differences between methods are paired by seed: 95 % intervals by Student's t.
Where a claim is about single SAEs, n counts these.
"""

from collections.abc import Iterator, Mapping

import pandas as pd

from mfr.intervals import Interval, bimodality, bootstrap, student, verdict
from mfr.method import Method

HIGH_ACROSS, LOW_TRUTH = 0.8, 0.5
R_BASELINE, R_REINITIALISED, R_MARGIN = 0.625, 0.668, 0.05
CLUSTER_SMALL, CLUSTER_LARGE = 5, 15
LOSS_DIFFERENCE_PERCENT = 2.4
TWO_MODES = 5 / 9
PRECISIONS_AT = (0.7, 0.8, 0.9)
PRECISE = 0.9

Row = tuple[str, str, Interval, str]


def claims(values: pd.DataFrame, latents: pd.DataFrame, methods: Mapping[str, Method], recovered_at: float) -> pd.DataFrame:
    """Columns claim, paper, ours, low, high, n and verdict, from the long table of `mfr.comparison` and the table of latents.

    A claim holds where its whole interval lies on its side of the bound, fails where it lies on the other, and is undecided
    between, or of one seed. `latents` has a row a latent with method, seed, sae, across_max, truth_max and between.
    """
    penalised = [name for name, method in methods.items() if method.penalty]
    reinitialised = [name for name, method in methods.items() if method == Method(reinitialise=method.reinitialise)]
    rows = [
        *_of_baseline(values, latents, recovered_at),
        *(row for name in reinitialised if name != "baseline" for row in _of_reinitialised(values, name)),
        *(row for name in penalised for row in _of_penalised(values, latents, name)),
        *(
            row
            for name in penalised
            for reference in reinitialised
            if reference != "baseline" and methods[name].reinitialise == methods[reference].reinitialise
            for row in _of_loss(values, name, reference)
        ),
    ]
    columns = ["claim", "paper", "ours", "low", "high", "n", "verdict"]
    return pd.DataFrame([(claim, paper, *interval, result) for claim, paper, interval, result in rows], columns=columns)


def _of_baseline(values: pd.DataFrame, latents: pd.DataFrame, recovered_at: float) -> Iterator[Row]:
    r = student(_by_seed(values, "baseline", "r_max"))
    yield "baseline: features that agree across SAEs are truer (r > 0)", "r > 0", r, verdict(r, least=0)
    bounds = (R_BASELINE - R_MARGIN, R_BASELINE + R_MARGIN)
    yield f"baseline: r is {R_BASELINE} ± {R_MARGIN}", str(R_BASELINE), r, verdict(r, *bounds)
    sizes = _clusters(latents, "baseline")
    size = student(sizes.tolist())
    paper = f"{CLUSTER_SMALL} or {CLUSTER_LARGE}"
    yield "baseline: alike across SAEs but untrue, latents an SAE", paper, size, verdict(size, CLUSTER_SMALL, CLUSTER_LARGE)
    split = bootstrap(sizes.tolist(), bimodality)
    yield "baseline: that number has two modes (bimodality)", "two", split, verdict(split, least=TWO_MODES)
    of_baseline = latents[latents["method"] == "baseline"]
    for bound in PRECISIONS_AT:
        alike = of_baseline[of_baseline["between"] > bound]
        shares = (alike["truth_max"] > recovered_at).groupby(alike["seed"]).mean()
        if len(shares):
            precision = student(shares.tolist())
            claim = f"independent SAEs: of latents alike above {bound}, over {PRECISE:.0%} are true"
            yield claim, "–", precision, verdict(precision, least=PRECISE)


def _of_reinitialised(values: pd.DataFrame, name: str) -> Iterator[Row]:
    gain = student(_paired(values, name, "baseline", "r_max"))
    yield f"{name}: raises r of baseline", f"+{R_REINITIALISED - R_BASELINE:.3f}", gain, verdict(gain, least=0)


def _of_penalised(values: pd.DataFrame, latents: pd.DataFrame, name: str) -> Iterator[Row]:
    recovered = student(_paired(values, name, "baseline", "truth_recovered"))
    yield f"{name}: recovers more true features than baseline", "more", recovered, verdict(recovered, least=0)
    mmcs = student(_paired(values, name, "baseline", "truth_mmcs_max"))
    yield f"{name}: features nearer to the truth (MMCS) than baseline's", "higher", mmcs, verdict(mmcs, least=0)
    sizes = _clusters(latents, name)
    size = student(sizes.tolist())
    yield f"{name}: no latents alike across SAEs but untrue (less than 1 an SAE)", "none", size, verdict(size, most=1)
    fewer = student((sizes - _clusters(latents, "baseline")).tolist())
    yield f"{name}: fewer such latents than baseline", "fewer", fewer, verdict(fewer, most=0)


def _of_loss(values: pd.DataFrame, name: str, reference: str) -> Iterator[Row]:
    change = student(_paired(values, name, reference, "mse", percent=True))
    within = verdict(change, -LOSS_DIFFERENCE_PERCENT, LOSS_DIFFERENCE_PERCENT)
    yield f"{name}: loss within {LOSS_DIFFERENCE_PERCENT} % of {reference}'s", f"{LOSS_DIFFERENCE_PERCENT} %", change, within


def _by_seed(values: pd.DataFrame, method: str, metric: str) -> pd.Series:
    here = values[(values["method"] == method) & (values["metric"] == metric)]
    return here.groupby("seed")["value"].mean()


def _paired(values: pd.DataFrame, method: str, reference: str, metric: str, percent: bool = False) -> list[float]:
    own, other = _by_seed(values, method, metric), _by_seed(values, reference, metric)
    return (100 * (own / other - 1) if percent else own - other).tolist()


def _clusters(latents: pd.DataFrame, method: str) -> pd.Series:
    """The number of latents of each SAE that are alike across SAEs, but like no true feature (paper, figure 4)."""
    here = latents[latents["method"] == method]
    strange = (here["across_max"] > HIGH_ACROSS) & (here["truth_max"] < LOW_TRUTH)
    return strange.groupby([here["seed"], here["sae"]]).sum()
