"""Shapes and types in annotations of the stages that compute are checked while tests run."""

from beartype import BeartypeConf, beartype
from jaxtyping import install_import_hook

CHECKED = [f"nt2c.{stage}" for stage in ("imaging", "models", "inference", "report")]

check = beartype(conf=BeartypeConf(is_pep484_tower=True))  # an int will do for a float
install_import_hook(CHECKED, "tests.conftest.check")
