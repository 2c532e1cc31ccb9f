"""For all tests: annotations are checked where numbers are computed, one thread, fixed examples."""

import os

if "PYTEST_XDIST_WORKER" in os.environ:  # before torch is loaded: the processes share the cores
    os.environ.setdefault("OMP_NUM_THREADS", "1")

from collections.abc import Callable, Iterator
from typing import Any, Self

import pytest
import torch
from beartype import BeartypeConf, beartype
from hypothesis import settings
from jaxtyping import install_import_hook

CHECKED = [
    f"nt2c.{stage}" for stage in "imaging simulation noise models denoising batch report".split()
]

_checked = beartype(conf=BeartypeConf(is_pep484_tower=True))  # an int will do for a float


def check(function: Callable[..., Any]) -> Callable[..., Any]:
    """Check the calls of a function; not where it says Self, which only whole classes know."""
    annotations = getattr(function, "__annotations__", {})
    return function if Self in annotations.values() else _checked(function)


install_import_hook(CHECKED, "tests.conftest.check")

# A busy machine is no failure, and a run can be repeated.
settings.register_profile("nt2c", deadline=None, derandomize=True)
settings.load_profile("nt2c")


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Small images take longer in several threads, and several tests may run at a time."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
