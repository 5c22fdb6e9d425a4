"""Numbers as tables show them to people: means with their spread, and changes in percent."""

import math

MISSING = "—"
MOST_DIGITS = 6  # results are written to this number of significant digits
PLAIN_EXPONENTS = range(-4, 6)


def with_spread(mean: float, sd: float, sign: str = "") -> str:
    """`mean ± sd`, both rounded to two significant digits of sd, such as `0.0024 ± 0.0021`.

    Very small and very large numbers have a common power of ten. Without an sd, as with one seed, only the mean is shown. A
    mean that is NaN or infinite is a dash. With `sign` "+", a positive mean has its sign.
    """
    if not math.isfinite(mean):
        return MISSING
    if not math.isfinite(sd):
        return f"{mean:{sign}.4g}"
    exponent = _exponent(max(abs(mean), sd))
    if exponent in PLAIN_EXPONENTS:
        return _pair(mean, sd, sign)
    return f"({_pair(mean / 10.0**exponent, sd / 10.0**exponent, sign)})e{exponent:+03d}"


def _pair(mean: float, sd: float, sign: str) -> str:
    if math.isclose(mean + sd, mean, rel_tol=1e-9):  # equal values up to rounding
        return f"{mean:{sign}.4g} ± 0"
    decimals = max(0, min(1 - _exponent(sd), MOST_DIGITS - 1 - _exponent(mean, MOST_DIGITS)))
    # Adding 0.0 turns −0.0, which would show a sign, into 0.0.
    return f"{round(mean, decimals) + 0.0:{sign}.{decimals}f} ± {sd:.{decimals}f}"


def _exponent(value: float, digits: int = 2) -> int:
    """Power of ten of the first digit, after rounding to `digits` significant digits."""
    return int(f"{value:.{digits - 1}e}".partition("e")[2])


def percent(change: float, sd: float) -> str:
    """A change in percent with its sign and, if there is one, its spread; a dash if it is undefined."""
    if not math.isfinite(change):
        return MISSING
    if math.isfinite(sd):
        return f"{with_spread(change, sd, '+')} %"
    # One decimal, but more for a change that would be rounded to zero, and fewer for a huge one.
    plain = change == 0 or 0.05 <= abs(change) < 10.0**PLAIN_EXPONENTS.stop
    return f"{change:+.1f} %" if plain else f"{change:+.1g} %"
