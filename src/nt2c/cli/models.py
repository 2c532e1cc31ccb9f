"""The commands `nt2c models` and `nt2c info`: what is bundled, what a model file holds."""

import sys
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text
from rich.tree import Tree

from nt2c.cli.commands import Info, Models
from nt2c.denoising.denoiser import bundled_models, load_model
from nt2c.denoising.noise_share import MOST_NOISE_OF_FIRST
from nt2c.denoising.settings import BUNDLED, FILM, GENERAL
from nt2c.models.network import count_parameters

_ENDLESS = 100_000  # characters in a line


def models(given: Models) -> None:
    """List the bundled models."""
    table = Table("model", "file", "parameters", "pixel size", "measured", box=None, pad_edge=False)
    for name, path in bundled_models().items():
        model = load_model(name)
        figures = model.metadata.get("figures", {})
        table.add_row(
            Text(name, style="bold"),
            f"{path.stat().st_size / 1e6:.1f} MB",
            f"{count_parameters(model.network):,}",
            f"{model.pixel_size_a:g} A",
            "\n".join(f"{figure}: {_shown(value)}" for figure, value in figures.items()),
        )
    console = _console()
    if table.row_count:
        console.print(table)
        console.print(
            f"{BUNDLED} (the default) is {GENERAL}, and {FILM} for each micrograph of which "
            f"{GENERAL} would make more than {MOST_NOISE_OF_FIRST:.0%} noise"
        )
    else:
        console.print("no model is bundled; make one with `nt2c train`")


def info(given: Info) -> None:
    """Show what a model file holds."""
    loaded = load_model(given.model)
    tree = Tree(Text(given.model, style="bold"), guide_style="dim")
    tree.add(Text(f"parameters: {count_parameters(loaded.network):,}"))
    _grow(tree, loaded.metadata)
    _console().print(tree)


def _console() -> Console:
    """Return a console that wraps lines on a terminal, and leaves them as they are elsewhere."""
    return Console(highlight=False, width=None if sys.stdout.isatty() else _ENDLESS)


def _grow(tree: Tree, values: dict[str, Any]) -> None:
    for name, value in values.items():
        if isinstance(value, dict):
            _grow(tree.add(Text(name)), value)
        else:
            tree.add(Text(f"{name}: {_shown(value)}"))


def _shown(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list):
        return ", ".join(_shown(item) for item in value)
    return str(value)
