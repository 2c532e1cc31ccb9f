"""Denoising of cryo-EM micrographs by noise transfer."""

from typing import TYPE_CHECKING, Any

from nt2c.core.version import __version__

if TYPE_CHECKING:
    from nt2c.api import denoise
    from nt2c.batch.run import denoise_files
    from nt2c.core.errors import InputError, Nt2cError, SettingsError
    from nt2c.denoising.denoiser import Denoiser, bundled_models, load_model
    from nt2c.denoising.settings import BatchOptions, DenoiseSettings
    from nt2c.io.inputs import find_inputs
    from nt2c.io.micrographs import open_micrograph, write_micrograph
    from nt2c.workflows.evaluate import evaluate
    from nt2c.workflows.fit import fit
    from nt2c.workflows.options import EvaluateOptions, FitOptions, PickOptions, SimulateOptions
    from nt2c.workflows.pick import pick
    from nt2c.workflows.simulate import simulate

__all__ = [
    "BatchOptions",
    "DenoiseSettings",
    "Denoiser",
    "EvaluateOptions",
    "FitOptions",
    "InputError",
    "Nt2cError",
    "PickOptions",
    "SettingsError",
    "SimulateOptions",
    "__version__",
    "bundled_models",
    "denoise",
    "denoise_files",
    "evaluate",
    "find_inputs",
    "fit",
    "load_model",
    "open_micrograph",
    "pick",
    "simulate",
    "write_micrograph",
]

_PLACES = {
    "nt2c.api": ("denoise",),
    "nt2c.core.errors": ("InputError", "Nt2cError", "SettingsError"),
    "nt2c.denoising.denoiser": ("Denoiser", "bundled_models", "load_model"),
    "nt2c.batch.run": ("denoise_files",),
    "nt2c.denoising.settings": ("BatchOptions", "DenoiseSettings"),
    "nt2c.io.inputs": ("find_inputs",),
    "nt2c.io.micrographs": ("open_micrograph", "write_micrograph"),
    "nt2c.workflows.evaluate": ("evaluate",),
    "nt2c.workflows.fit": ("fit",),
    "nt2c.workflows.options": ("EvaluateOptions", "FitOptions", "PickOptions", "SimulateOptions"),
    "nt2c.workflows.pick": ("pick",),
    "nt2c.workflows.simulate": ("simulate",),
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is used, so that `import nt2c` waits for nothing."""
    import importlib

    for module, names in _PLACES.items():
        if name in names:
            value = getattr(importlib.import_module(module), name)
            globals()[name] = value
            return value
    raise AttributeError(f"module 'nt2c' has no attribute {name!r}")


def __dir__() -> list[str]:
    """Return the public names."""
    return __all__
