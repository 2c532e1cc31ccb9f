import pytest

from nt2c.io.weights import write_weights
from tests.batch.make import random_model


@pytest.fixture(scope="session")
def model():
    return random_model()


@pytest.fixture(scope="session")
def model_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "tiny.safetensors"
    write_weights(path, *random_model().to_tensors())
    return path
