"""`nt2c train`: a denoiser from a recipe."""

from nt2c.cli.commands import Train
from nt2c.cli.progress import progress_bar
from nt2c.cli.terminal import say
from nt2c.core.errors import SettingsError
from nt2c.denoising.denoiser import load_model
from nt2c.io.recipes import read_settings
from nt2c.io.weights import write_weights
from nt2c.pipeline.budget import lasting
from nt2c.report.figures import save_validation
from nt2c.training.denoiser import Material, train_denoiser
from nt2c.training.processes import join
from nt2c.training.settings import Recipe


def train(given: Train) -> None:
    """Train a denoiser, showing how it goes on."""
    output, device = given.output, given.device
    if output.is_dir():
        raise SettingsError(f"{output}: a folder; give the name of a model file with --output")
    settings = read_settings(given.recipe, Recipe)
    folder = output.with_suffix(".training")
    start = load_model(given.start) if given.start else None
    if given.time_s is not None:
        settings = lasting(settings, given.time_s, folder, device=device, start=start)
    first = join(device).first
    with progress_bar(disable=not first) as progress:
        bar = progress.add_task("training", total=settings.optimizer.steps)
        smooth = None

        def show(step: int, loss: float) -> None:
            nonlocal smooth
            smooth = loss if smooth is None else 0.98 * smooth + 0.02 * loss
            progress.update(bar, completed=step, description=f"loss {smooth:.4f}")

        model = train_denoiser(
            settings,
            folder,
            Material(start=start),
            device=device,
            picture=lambda step, *images: save_validation(
                folder / f"validation-{step:06d}.png", *images
            ),
            on_step=show,
        )
    if not first:
        return
    write_weights(output, *model.to_tensors())
    say(f"model: {output}\nlog and pictures: {folder}")
