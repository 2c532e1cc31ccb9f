from tests.inference.conftest import model_file  # noqa: F401
