from tests.denoising.conftest import model, model_file

__all__ = ["model", "model_file"]
