"""Which of the paper's claims about synthetic vectors hold (paper, section 3), by intervals over seeds.

Values are means over an ensemble's SAEs, and differences between methods are paired by seed: 95 % intervals by Student's t.
Claims are about the methods that the paper has: penalty, reinitialisation, or both.
"""

from collections.abc import Iterable, Iterator, Mapping

import pandas as pd

from mfr.intervals import Interval, student, verdict
from mfr.method import Method

HIGH_ACROSS, LOW_TRUTH = 0.8, 0.5
R_BASELINE, R_REINITIALISED, R_MARGIN = 0.625, 0.668, 0.05
CLUSTER_SMALL, CLUSTER_LARGE, CLUSTER_MARGIN = 5, 15, 3
LOSS_DIFFERENCE_PERCENT = 2.4
PRECISIONS_AT = (0.7, 0.8, 0.9)
PRECISE = 0.9

Row = tuple[str, str, Interval, str]


def claims(values: pd.DataFrame, latents: pd.DataFrame, methods: Mapping[str, Method], recovered_at: float) -> pd.DataFrame:
    """Columns claim, paper, ours, low, high, n and verdict, from the long table of `mfr.comparison` and the table of latents.

    A claim holds where its whole interval lies on its side of the bound, fails where it lies on the other, and is undecided
    between, or of one seed. `latents` has a row a latent with method, seed, sae, across_max, truth_max, frequency and between.
    """
    of_paper = {name: method for name, method in methods.items() if method != Method() and as_the_paper_has(method)}
    rows = [*_of_baseline(values, latents, recovered_at)]
    for name, method in of_paper.items():
        if not method.penalty:
            rows += _of_reinitialised(values, name)
        rows += _of_truth(values, latents, name)
        for other, reference in of_paper.items():
            if method.penalty and not reference.penalty and method.reinitialise == reference.reinitialise:
                rows += _of_loss(values, name, other)
    return claims_table(rows)


def claims_table(rows: Iterable[Row]) -> pd.DataFrame:
    """Columns claim, paper, ours, low, high, n and verdict."""
    columns = ["claim", "paper", "ours", "low", "high", "n", "verdict"]
    return pd.DataFrame([(claim, paper, *interval, result) for claim, paper, interval, result in rows], columns=columns)


def as_the_paper_has(method: Method) -> bool:
    """Whether a method differs from the baseline in its penalty and reinitialisation alone, and the penalty is the paper's.

    That pulls all latents, at a weight that is fixed once the warm-up is over.
    """
    of_paper = method.penalty is None or (method.penalty.latents == "all" and method.penalty.alpha != "relative")
    return of_paper and method.model_copy(update={"penalty": None, "reinitialise": None}) == Method()


def _of_baseline(values: pd.DataFrame, latents: pd.DataFrame, recovered_at: float) -> Iterator[Row]:
    r = student(_by_seed(values, "baseline", "r_max"))
    yield "baseline: features that agree across SAEs are truer (r > 0)", "r > 0", r, verdict(r, least=0)
    bounds = (R_BASELINE - R_MARGIN, R_BASELINE + R_MARGIN)
    yield f"baseline: r is {R_BASELINE} ± {R_MARGIN}", str(R_BASELINE), r, verdict(r, *bounds)
    sizes = _clusters(latents, "baseline")
    size = _over_seeds(sizes)
    paper = f"{CLUSTER_SMALL} or {CLUSTER_LARGE}"
    yield "baseline: alike across SAEs but untrue, latents an SAE", paper, size, verdict(size, CLUSTER_SMALL, CLUSTER_LARGE)
    near = ((sizes - CLUSTER_SMALL).abs() <= CLUSTER_MARGIN) | ((sizes - CLUSTER_LARGE).abs() <= CLUSTER_MARGIN)
    split = _over_seeds(near.astype(float))
    claim = f"baseline: most SAEs have {CLUSTER_SMALL} or {CLUSTER_LARGE} (± {CLUSTER_MARGIN}) of these"
    yield claim, "all", split, verdict(split, least=0.5)
    of_baseline = latents[latents["method"] == "baseline"]
    strange = _is_strange(of_baseline)
    if strange.any():
        activity = of_baseline.groupby(["seed", strange.rename("strange")])["frequency"].mean().unstack().dropna()
        ratio = student((activity[True] / activity[False]).tolist())
        yield "baseline: these are less often active than others (ratio below 1)", "less", ratio, verdict(ratio, most=1)
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


def _of_truth(values: pd.DataFrame, latents: pd.DataFrame, name: str) -> Iterator[Row]:
    recovered = student(_paired(values, name, "baseline", "truth_recovered"))
    yield f"{name}: recovers more true features than baseline", "more", recovered, verdict(recovered, least=0)
    mmcs = student(_paired(values, name, "baseline", "truth_mmcs_max"))
    yield f"{name}: features nearer to the truth (MMCS) than baseline's", "higher", mmcs, verdict(mmcs, least=0)
    sizes = _clusters(latents, name)
    size = _over_seeds(sizes)
    yield f"{name}: no latents alike across SAEs but untrue (less than 1 an SAE)", "none", size, verdict(size, most=1)
    fewer = _over_seeds(sizes - _clusters(latents, "baseline"))
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
    """The number of latents of each SAE (seed, sae) that are alike across SAEs, but like no true feature (paper, figure 4)."""
    here = latents[latents["method"] == method]
    return _is_strange(here).groupby([here["seed"], here["sae"]]).sum()


def _is_strange(latents: pd.DataFrame) -> pd.Series:
    return (latents["across_max"] > HIGH_ACROSS) & (latents["truth_max"] < LOW_TRUTH)


def _over_seeds(of_saes: pd.Series) -> Interval:
    """SAEs of one seed are no independent values: they are averaged first."""
    return student(of_saes.groupby("seed").mean().tolist())
