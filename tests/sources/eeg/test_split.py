from collections import Counter
from fractions import Fraction

import numpy as np
import pytest

from mfr.config.eeg import PreprocessEeg
from mfr.runtime.errors import UserError
from mfr.sources.eeg.signals import Plan
from mfr.sources.eeg.split import by_subject, by_time


@pytest.mark.parametrize("count", range(3, 40))
def test_shares_are_of_subjects_and_no_subject_is_on_two_sides(count):
    subjects = [str(number) for number in range(count)]
    sides = by_subject(subjects, "", PreprocessEeg(heldout_share=0.25, validation_share=0.1))
    assert sorted(sides) == sorted(subjects)
    counts = Counter(sides.values())
    assert min(counts.values()) == counts["validation"] >= 1
    assert abs(counts["heldout"] - count / 4) <= 0.5 and abs(counts["validation"] - max(1, count / 10)) <= 0.5
    huge = PreprocessEeg(heldout_share=0.9, validation_share=0.09)
    assert set(by_subject(subjects, "", huge).values()) == {"train", "validation", "heldout"}


def test_held_out_subjects_do_not_depend_on_the_share_for_validation():
    subjects = [str(number) for number in range(20)]
    held = [
        {name for name, side in by_subject(subjects, "", PreprocessEeg(validation_share=share)).items() if side == "heldout"}
        for share in (0, 0.1, 0.5)
    ]
    assert held[0] == held[1] == held[2] and len(held[0]) == 5


def test_too_few_subjects():
    with pytest.raises(
        UserError, match=r"need 3 subjects, .* of 'a', 'b' \(skipped: why\); .*set .*validation_share: 0 .*time"
    ):
        by_subject(["a", "b"], "why", PreprocessEeg())
    without = PreprocessEeg(validation_share=0)
    assert sorted(by_subject(["a", "b"], "", without).values()) == ["heldout", "train"]
    with pytest.raises(UserError, match=r"training and held-out vectors need 2 subjects, .* of 'a'; .*split: time"):
        by_subject(["a"], "", without)


@pytest.mark.parametrize(("window_s", "step_s"), [(0.25, 0.25), (1.0, 0.125), (0.25, 1.0)])
@pytest.mark.parametrize("validation_share", [0, 0.1])
def test_times_follow_each_other_and_share_no_sample(window_s, step_s, validation_share):
    parameters = PreprocessEeg(window_s=window_s, step_s=step_s, validation_share=validation_share)
    plan = Plan(256 * 100, Fraction(256), parameters)
    sides = by_time(plan, parameters)
    samples = {
        side: np.concatenate([np.arange(w * plan.step, w * plan.step + plan.window) for w in np.flatnonzero(chosen)] or [[]])
        for side, chosen in sides.items()
    }
    first, middle, last = samples.values()
    assert list(samples) == ["train", "validation", "heldout"] and first.max() < last.min()
    assert len(middle) == 0 if validation_share == 0 else first.max() < middle.min() < middle.max() < last.min()
    assert np.mean(sides["heldout"]) == pytest.approx(0.25, abs=0.02)
    assert np.mean(sides["validation"]) == pytest.approx(validation_share, abs=0.02)
    across = plan.count - sum(chosen.sum() for chosen in sides.values())
    assert across <= 2 * (window_s // step_s + 1)
