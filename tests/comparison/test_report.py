from mfr.comparison.report import rivals
from mfr.config.training import AuxK, Method, Reinitialise, Transplant


def test_rivals_are_the_methods_without_partners_or_restarts() -> None:
    auxk, transplant = AuxK(k=3), Transplant()
    methods = {"baseline": Method(), "a": Method(auxk=auxk), "longer": Method(steps=9)}
    others = {"both": Method(auxk=auxk, transplant=transplant), "reinit": Method(reinitialise=Reinitialise())}
    others["denoiser"] = Method(noise_db=0.0)
    assert rivals(methods | others) == ["baseline", "a", "longer"]
