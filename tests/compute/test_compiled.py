import importlib
import pkgutil

import numpy as np
import pytest
from numba import njit
from numba.core.dispatcher import Dispatcher

import mfr
from mfr.compute.compiled import add_rows


@njit
def add_weighted(out, W, rows, weights):
    add_rows(out, W, rows, weights)


@pytest.mark.parametrize("count", [0, 1, 4, 7])
def test_weighted_rows_are_added(count: int) -> None:
    random = np.random.default_rng(0)
    W, rows = random.standard_normal((9, 13), dtype=np.float32), random.integers(9, size=count)
    weights, out = random.random(count, dtype=np.float32), np.ones(13, np.float32)
    add_weighted(out, W, rows, weights)
    assert np.allclose(out, 1 + weights @ W[rows], atol=1e-5)


def test_compiled_functions_call_none_of_another_file_which_may_change_unseen() -> None:
    every = pkgutil.walk_packages(mfr.__path__, "mfr.")
    modules = [importlib.import_module(each.name) for each in every if not each.ispkg]
    calls = [
        (function.py_func, called.py_func)
        for module in modules
        for function in vars(module).values()
        if isinstance(function, Dispatcher)
        for called in map(function.py_func.__globals__.get, function.py_func.__code__.co_names)
        if isinstance(called, Dispatcher)
    ]
    assert len(calls) > 5
    assert [(one, other) for one, other in calls if one.__module__ != other.__module__] == []
