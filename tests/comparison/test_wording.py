import math

import pytest

from mfr.comparison.wording import percent, with_spread

NAN = math.nan


@pytest.mark.parametrize(
    ("mean", "sd", "expected"),
    [
        (0.002441, 0.0020719, "0.0024 ± 0.0021"),
        (0.284, 0.0010071, "0.2840 ± 0.0010"),
        (0.5, 0.0996, "0.50 ± 0.10"),
        (9.96, 0.996, "10.0 ± 1.0"),
        (1234.5, 123.4, "1234 ± 123"),
        (62.4, 1.5192, "62.4 ± 1.5"),
        (-0.0000004, 0.5, "0.00 ± 0.50"),
        (0.0, 0.0, "0 ± 0"),
        (0.994141, 0.0, "0.9941 ± 0"),
        (0.3, 5.5e-17, "0.3 ± 0"),
        # Six significant digits are all that the results have.
        (0.975193, 0.00000303406, "0.975193 ± 0.000003"),
        (1.23e-9, 4.5e-11, "(1.230 ± 0.045)e-09"),
        (12345678.0, 123456.0, "(1.235 ± 0.012)e+07"),
        (2.0, NAN, "2"),
        (NAN, NAN, "—"),
        (math.inf, 1.0, "—"),
    ],
)
def test_a_mean_has_the_decimals_of_its_spread(mean: float, sd: float, expected: str) -> None:
    assert with_spread(mean, sd) == expected


@pytest.mark.parametrize(
    ("change", "sd", "expected"),
    [
        (-0.0304549, 0.0155789, "-0.030 ± 0.016 %"),
        (2.91717, 2.4133, "+2.9 ± 2.4 %"),
        (-50.0, NAN, "-50.0 %"),
        (-0.03, NAN, "-0.03 %"),
        (0.0, NAN, "+0.0 %"),
        (1.23e8, NAN, "+1e+08 %"),
        (NAN, NAN, "—"),
        (math.inf, NAN, "—"),
    ],
)
def test_a_change_has_its_sign_and_never_rounds_to_zero(change: float, sd: float, expected: str) -> None:
    assert percent(change, sd) == expected
