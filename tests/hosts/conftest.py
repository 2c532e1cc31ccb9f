from tests.batch.conftest import model_file  # noqa: F401
