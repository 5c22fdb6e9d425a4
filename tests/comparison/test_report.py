import json
import math

from mfr.comparison.report import _rounded, rivals
from mfr.config.training import AuxK, Method, Reinitialise, Transplant


def test_rivals_are_the_methods_without_partners_or_restarts() -> None:
    auxk, transplant = AuxK(k=3), Transplant()
    methods = {"baseline": Method(), "a": Method(auxk=auxk), "longer": Method(steps=9)}
    others = {"both": Method(auxk=auxk, transplant=transplant), "reinit": Method(reinitialise=Reinitialise())}
    others["denoiser"] = Method(noise_db=0.0)
    assert rivals(methods | others) == ["baseline", "a", "longer"]


def test_numbers_of_the_metrics_file_are_strict_json() -> None:
    rounded = _rounded({"a": {"mse": 0.123456, "gain_db": math.nan}, "b": {"mse": math.inf}, "count": 3})
    assert json.loads(json.dumps(rounded, allow_nan=False)) == {
        "a": {"mse": 0.1235, "gain_db": None},
        "b": {"mse": None},
        "count": 3,
    }
