import subprocess
import sys

import pytest

HEAVY = {"gemmi", "mrcfile", "tifffile", "imagecodecs", "matplotlib", "scipy", "typer", "rich"}


@pytest.mark.parametrize("module", ["weights", "records", "recipes", "micrographs", "inputs"])
def test_optional_packages_are_imported_only_when_used(module):
    program = (
        f"import sys, nt2c.io.{module}; print(*{{name.split('.')[0] for name in sys.modules}})"
    )
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert HEAVY.isdisjoint(run.stdout.split())
