"""Verdicts on the paper's claims about synthetic vectors (paper, section 3).

Values are means over an ensemble's k. Differences between methods are paired by seed. 95 % intervals are Student's t, except
that shares of initialisations have the exact interval, and measures of pairs of seeds that of a jackknife.

Latents are paired one to one, across SAEs and with the true features, as in the paper's figures. A latent is *shared but
spurious* (in the claims: alike but untrue; in the code: strange) if its cosine is above a cut across SAEs, and below 0.5 with
the true features. The paper gives no cut, so each of three cuts has its own rows. Claims are about the paper's methods:
penalty, reinitialisation, or both.
"""

from collections.abc import Iterable, Iterator, Mapping

import pandas as pd

from mfr.comparison.claims.common import LATENT, Row, claims_table, methods_of_paper
from mfr.comparison.intervals import Interval, Verdict, over_pairs, share, student, verdict
from mfr.comparison.summary import percent_change
from mfr.config.training import Method
from mfr.evaluation.metrics import correlation

ALIKE_ABOVE, LOW_TRUTH = (0.75, 0.8, 0.85), 0.5
R_BASELINE, R_REINITIALISED, R_MARGIN = 0.625, 0.668, 0.05
CLUSTER_SMALL, CLUSTER_LARGE, CLUSTER_MARGIN = 5, 15, 2
FEW = 0.1
LOSS_DIFFERENCE_PERCENT = 2.4
PRECISIONS_AT = (0.7, 0.8, 0.9)
PRECISE = 0.9


def claims(
    values: pd.DataFrame, latents: pd.DataFrame, between: pd.DataFrame, methods: Mapping[str, Method], recovered_at: float
) -> pd.DataFrame:
    """Table of claims, with the columns of `claims_table`.

    `values` is the long table of `mfr.comparison.summary`. `latents` has one row per latent with the columns method, seed, sae,
    latent, across_hungarian, truth_hungarian, truth_max and frequency. `between` is the table of
    `mfr.comparison.consistency.between_seeds` with a column method. A latent counts as true if its cosine with a true feature
    exceeds `recovered_at`.

    A claim holds if its whole interval is on the claimed side of the bound, fails if it is on the other, and is undecided
    otherwise. It is also undecided with one seed, with two seeds of equal values, and for a method equal to the baseline,
    such as reinitialisation if no SAE met its criterion.
    """
    of_paper = methods_of_paper(methods)
    rows = [*_of_baseline(values, latents)]
    rows += _of_independent(latents[latents["method"] == "baseline"], between[between["method"] == "baseline"], recovered_at)
    for name, method in of_paper.items():
        of_method = [*_of_truth(values, latents, name)]
        if not method.penalty:
            of_method = [*_of_reinitialised(values, name), *of_method]
        rows += of_method if any(_paired(values, name, "baseline", "mse")) else _untested(of_method)
        for other, reference in of_paper.items():
            if method.penalty and not reference.penalty and method.reinitialise == reference.reinitialise:
                rows += _of_loss(values, name, other)
    return claims_table(rows)


def _of_baseline(values: pd.DataFrame, latents: pd.DataFrame) -> Iterator[Row]:
    """Whether agreement across SAEs correlates with truth, and what strange latents are like."""
    for pairs, metric in (("one to one", "r_hungarian"), ("by largest cosines", "r_max")):
        r = student(_by_seed(values, "baseline", metric))
        yield f"baseline: features that agree across SAEs are truer (r > 0, {pairs})", "r > 0", r, verdict(r, least=0)
        yield f"baseline: r is {_near(R_BASELINE)} ({pairs})", str(R_BASELINE), r, _is_near(r, R_BASELINE)
    of_baseline = latents[latents["method"] == "baseline"]
    live = of_baseline[of_baseline["frequency"] > 0].groupby("seed")
    r = student([correlation(of_seed).r_hungarian for _, of_seed in live])
    yield "baseline: features that agree across SAEs are truer (r > 0, one to one, live latents)", "–", r, verdict(r, least=0)
    for above in ALIKE_ABOVE:
        yield from _of_split(_strange_by_seed(of_baseline, above), above)
        strange = _is_strange(of_baseline, above)
        activity = of_baseline.groupby(["seed", strange.rename("strange")])["frequency"].mean().unstack()
        activity = activity.reindex(columns=[True, False]).dropna()
        if len(activity):
            ratio = student((activity[True] / activity[False]).tolist())
            claim = f"baseline: {_strange(above)} are less often active than others (ratio below 1)"
            yield claim, "less", ratio, verdict(ratio, most=1)


def _of_split(sizes: pd.Series, above: float) -> Iterator[Row]:
    """Whether initialisations are of two kinds, by their number of strange latents per SAE."""
    size = student(sizes.tolist())
    paper = f"{CLUSTER_SMALL} or {CLUSTER_LARGE}"
    yield f"baseline: there are {_strange(above)} (more than 1 an SAE)", paper, size, verdict(size, least=1)
    small, large = ((sizes - kind).abs() <= CLUSTER_MARGIN for kind in (CLUSTER_SMALL, CLUSTER_LARGE))
    for kind, of_kind in ((CLUSTER_SMALL, small), (CLUSTER_LARGE, large)):
        found = share(int(of_kind.sum()), len(sizes))
        claim = f"baseline: over a tenth of initialisations have {kind} ± {CLUSTER_MARGIN} {_strange(above)}"
        yield claim, "some", found, verdict(found, least=FEW)
    others = share(int((~small & ~large).sum()), len(sizes))
    claim = f"baseline: under a tenth of initialisations have another number of {_strange(above)}"
    yield claim, "none", others, verdict(others, most=FEW)


def _of_independent(latents: pd.DataFrame, between: pd.DataFrame, recovered_at: float) -> Iterator[Row]:
    """Whether latents found in two seeds are true, and more often so than all latents.

    A cut applies to each pair of seeds separately. A mean cosine over seeds would be a stricter test the more seeds there are.
    """
    is_true = (latents["truth_max"] > recovered_at).rename("is_true")
    of_all = is_true.groupby(latents["seed"]).mean()
    pairs = between.merge(latents[LATENT].join(is_true), on=LATENT)
    for bound in PRECISIONS_AT:
        alike = pairs[pairs["between"] > bound]
        shares = alike.groupby(["seed", "other"])["is_true"].mean()
        if len(shares):
            precision, gain = over_pairs(shares), over_pairs(shares.sub(of_all, level="seed"))
            claim = f"independent SAEs: of latents alike above {bound} in two seeds over {PRECISE:.0%} are true"
            yield claim, "–", precision, verdict(precision, least=PRECISE)
            yield (
                f"independent SAEs: latents alike above {bound} in two seeds are truer than all",
                "–",
                gain,
                verdict(gain, least=0),
            )


def _of_reinitialised(values: pd.DataFrame, name: str) -> Iterator[Row]:
    r = student(_by_seed(values, name, "r_hungarian"))
    yield f"{name}: r is {_near(R_REINITIALISED)} (one to one)", str(R_REINITIALISED), r, _is_near(r, R_REINITIALISED)
    gain = student(_paired(values, name, "baseline", "r_hungarian"))
    yield f"{name}: raises r of baseline (one to one)", f"+{R_REINITIALISED - R_BASELINE:.3f}", gain, verdict(gain, least=0)


def _of_truth(values: pd.DataFrame, latents: pd.DataFrame, name: str) -> Iterator[Row]:
    recovered = student(_paired(values, name, "baseline", "truth_recovered"))
    yield f"{name}: recovers more true features than baseline", "more", recovered, verdict(recovered, least=0)
    mmcs = student(_paired(values, name, "baseline", "truth_mmcs_max"))
    yield f"{name}: features nearer to the truth (MMCS) than baseline's", "higher", mmcs, verdict(mmcs, least=0)
    own, other = (latents[latents["method"] == method] for method in (name, "baseline"))
    for above in ALIKE_ABOVE:
        sizes, of_baseline = _strange_by_seed(own, above), _strange_by_seed(other, above)
        size, fewer = student(sizes.tolist()), student((sizes - of_baseline).tolist())
        yield f"{name}: no {_strange(above)} (less than 1 an SAE)", "none", size, verdict(size, most=1)
        yield f"{name}: fewer {_strange(above)} than baseline", "fewer", fewer, verdict(fewer, most=0)


def _of_loss(values: pd.DataFrame, name: str, reference: str) -> Iterator[Row]:
    change = student(_paired(values, name, reference, "mse", percent=True))
    within = verdict(change, -LOSS_DIFFERENCE_PERCENT, LOSS_DIFFERENCE_PERCENT)
    yield f"{name}: loss within {LOSS_DIFFERENCE_PERCENT} % of {reference}'s", f"{LOSS_DIFFERENCE_PERCENT} %", change, within


def _untested(rows: Iterable[Row]) -> list[Row]:
    """The same rows, all undecided."""
    return [(claim, paper, interval, "undecided") for claim, paper, interval, _ in rows]


def _strange(above: float) -> str:
    return f"latents alike above {above} but untrue"


def _near(r: float) -> str:
    return f"{r} ± {R_MARGIN}"


def _is_near(interval: Interval, r: float) -> Verdict:
    return verdict(interval, r - R_MARGIN, r + R_MARGIN)


def _by_seed(values: pd.DataFrame, method: str, metric: str) -> pd.Series:
    """A metric of one method by seed, a mean over k."""
    here = values[(values["method"] == method) & (values["metric"] == metric)]
    return here.groupby("seed")["value"].mean()


def _paired(values: pd.DataFrame, method: str, reference: str, metric: str, percent: bool = False) -> list[float]:
    """Change of a metric between two methods by seed: a difference, or in percent."""
    own, other = _by_seed(values, method, metric), _by_seed(values, reference, metric)
    changes: list[float] = (percent_change(own, other) if percent else own - other).tolist()
    return changes


def _strange_by_seed(latents: pd.DataFrame, above: float) -> pd.Series:
    """Number of strange latents per SAE, by seed (paper, figure 4).

    SAEs of one seed are not independent, so their mean counts as one value.
    """
    return _is_strange(latents, above).groupby([latents["seed"], latents["sae"]]).sum().groupby("seed").mean()


def _is_strange(latents: pd.DataFrame, above: float) -> pd.Series:
    """Whether each latent is shared across SAEs (cosine over `above`) but spurious."""
    # With more latents than true features some have no partner; their nearest true feature counts instead.
    truth = latents["truth_hungarian"].fillna(latents["truth_max"])
    return (latents["across_hungarian"] > above) & (truth < LOW_TRUTH)
