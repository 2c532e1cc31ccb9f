"""The commands `nt2c models` and `nt2c info`: what is bundled, what a model file holds."""

from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text
from rich.tree import Tree

from nt2c.core.errors import SettingsError
from nt2c.io.weights import read_weights

WEIGHTS = Path(str(files("nt2c"))) / "weights"
"""Folder of the bundled models."""


def models() -> None:
    """List the bundled models with their measured figures."""
    table = Table("model", "file", "parameters", "pixel size", "measured", box=None, pad_edge=False)
    for path in sorted(WEIGHTS.glob("*.safetensors")):
        tensors, metadata = read_weights(path)
        figures = metadata.get("figures") or {}
        table.add_row(
            Text(path.stem, style="bold"),
            f"{path.stat().st_size / 1e6:.1f} MB",
            f"{sum(tensor.numel() for tensor in tensors.values()):,}",
            f"{metadata['pixel_size_a']:g} A",
            "\n".join(f"{name}: {_shown(value)}" for name, value in figures.items()),
        )
    console = Console()
    if table.row_count:
        console.print(table)
    else:
        console.print("no model is bundled; make one with `nt2c train`")


def info(
    model: Annotated[str, typer.Argument(help="Name of a bundled model, or a model file.")],
) -> None:
    """Show what a model file holds and was trained on."""
    path = model_path(model)
    tensors, metadata = read_weights(path)
    tree = Tree(Text(str(path), style="bold"), guide_style="dim")
    tree.add(f"parameters: {sum(tensor.numel() for tensor in tensors.values()):,}")
    _grow(tree, metadata)
    Console(soft_wrap=True).print(tree)


def model_path(name: str) -> Path:
    """Return the file of a bundled model, or `name` itself where it is a file.

    Raises
    ------
    SettingsError
        There is neither.
    """
    bundled = {path.stem: path for path in sorted(WEIGHTS.glob("*.safetensors"))}
    if name in bundled:
        return bundled[name]
    if Path(name).is_file():
        return Path(name)
    known = ", ".join(bundled) or "none"
    raise SettingsError(f"model {name}: no such file, and no bundled model (there are: {known})")


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
