"""The command `nt2c denoise`."""

from pathlib import Path
from typing import Annotated

import typer

from nt2c.cli.batch import report, show_progress
from nt2c.cli.live import denoise_live
from nt2c.cli.terminal import say
from nt2c.core.errors import SettingsError
from nt2c.inference.settings import DenoiseSettings
from nt2c.io.pixel_size import check_pixel_size

DEFAULTS = DenoiseSettings()


def denoise(
    inputs: Annotated[
        list[str],
        typer.Argument(
            metavar="INPUT...",
            help="Micrographs (.mrc, .mrcs, .tif, .tiff, .mrc.gz, .mrc.bz2), folders, patterns in "
            "quotes, or a micrographs.star.",
        ),
    ],
    output: Annotated[
        Path, typer.Option("-o", "--output", metavar="DIR", help="Folder for the results.")
    ],
    model: Annotated[
        str, typer.Option(metavar="NAME|FILE", help="A bundled model or a model file.")
    ] = "general",
    pixel_size: Annotated[
        float | None,
        typer.Option(metavar="A", help="Pixel size in angstrom, where the files are wrong."),
    ] = DEFAULTS.pixel_size_a,
    output_pixel_size: Annotated[
        float | None,
        typer.Option(metavar="A", help="Write at this sampling; by default that of the input."),
    ] = DEFAULTS.output_pixel_size_a,
    device: Annotated[
        str, typer.Option(help="auto, cpu, cuda, cuda:N, or cuda:all: one process for each GPU.")
    ] = "auto",
    precision: Annotated[
        str,
        typer.Option(help="fp32, bf16, or auto: bf16 where it is fast and changes less than 1 %."),
    ] = DEFAULTS.precision,
    keep_background: Annotated[
        bool, typer.Option("--keep-background", help="Keep the slow background (ice gradient).")
    ] = DEFAULTS.keep_background,
    float16: Annotated[
        bool, typer.Option("--float16", help="Half the size; old programs cannot read it.")
    ] = DEFAULTS.float16,
    sum_frames: Annotated[
        bool,
        typer.Option("--sum-frames", help="Files are movies with aligned frames; .eer too."),
    ] = DEFAULTS.sum_frames,
    suffix: Annotated[
        str, typer.Option(metavar="S", help="Put behind the names of the results.")
    ] = "",
    overwrite: Annotated[
        bool,
        typer.Option("--overwrite", help="Do all again, and replace files of other programs."),
    ] = False,
    shard: Annotated[
        str | None,
        typer.Option(metavar="I/N", help="Do part I of N; `nt2c merge` joins the accounts."),
    ] = None,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Do only what failed in the last run.")
    ] = False,
    max_memory: Annotated[
        float | None,
        typer.Option(metavar="GB", help="Use about this much memory; by default what is free."),
    ] = None,
    threads: Annotated[
        int | None,
        typer.Option(metavar="N", min=1, help="Compute in so many; by default all processors."),
    ] = None,
    live: Annotated[
        bool, typer.Option("--live", help="Go on denoising what arrives; see DIR/live.html.")
    ] = False,
    poll: Annotated[
        float, typer.Option(metavar="S", min=0.1, help="With --live: seconds between two looks.")
    ] = 10.0,
    idle_exit: Annotated[
        float | None,
        typer.Option(metavar="S", min=0, help="With --live: end when nothing came for so long."),
    ] = None,
    json: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write what was done as JSON.")
    ] = None,
) -> int:
    """Denoise micrographs with a model.

    Writes DIR/NAME.mrc with the pixel size, grid and polarity of the input. Files that are done
    are skipped, so the same command again does the rest. A file that cannot be denoised is named
    at the end and does not stop the others.
    """
    check_pixel_size("--pixel-size", pixel_size)
    check_pixel_size("--output-pixel-size", output_pixel_size)
    given = {
        "pixel_size_a": pixel_size,
        "output_pixel_size_a": output_pixel_size,
        "precision": precision,
        "keep_background": keep_background,
        "float16": float16,
        "sum_frames": sum_frames,
    }
    settings = DenoiseSettings.parse(given, "denoise")

    if max_memory is not None and not max_memory > 0:
        raise SettingsError(f"--max-memory {max_memory:g}: must be a positive number of GB")

    from nt2c.core.device import choose_device, describe_device, set_threads, split_device
    from nt2c.inference.batch import denoise_files
    from nt2c.inference.denoiser import load_model
    from nt2c.inference.plan import Shard
    from nt2c.inference.runner import RunOptions
    from nt2c.inference.stopping import Stop
    from nt2c.io.inputs import find_inputs

    if live and (shard or retry_failed or json or device == "cuda:all"):
        raise SettingsError(
            "--live: not together with --shard, --retry-failed, --json or --device cuda:all"
        )
    if retry_failed and overwrite:
        raise SettingsError("--retry-failed: not together with --overwrite, which does all again")
    if idle_exit is not None and not live:
        raise SettingsError("--idle-exit: only with --live")
    part = Shard.parse(shard) if shard else None
    found = [] if live else find_inputs(inputs, movies=sum_frames)
    stars = [Path(given) for given in inputs if given.lower().endswith(".star")]
    set_threads(threads)
    for name in split_device(device):
        say(f"device     {describe_device(choose_device(name))}")
    loaded = load_model(model)
    name = loaded.metadata.get("name", "unnamed")
    say(f"model      {model}" + (f" ({name})" if name != model else ""))
    say(f"precision  {_announced(precision)}")
    options = RunOptions(settings=settings, overwrite=overwrite, max_memory_gb=max_memory)
    stop = Stop()
    known = not (live or retry_failed)
    total = sum(part is None or part.has(item) for item in found) if known else None
    with show_progress(total) as show, stop.on_signals():
        if live:
            summary = denoise_live(
                inputs,
                output,
                loaded,
                options,
                device=device,
                stars=stars,
                suffix=suffix,
                poll_s=poll,
                idle_exit_s=idle_exit,
                stop=stop,
                on_result=show,
            )
        else:
            summary = denoise_files(
                found,
                output,
                loaded,
                settings,
                device=device,
                suffix=suffix,
                overwrite=overwrite,
                shard=part,
                retry_failed=retry_failed,
                max_memory_gb=max_memory,
                stop=stop,
                stars=stars,
                json=json,
                on_result=show,
            )
    report(summary, output)
    return stop.exit_code or (1 if summary.with_status("failed") else 0)


def _announced(precision: str) -> str:
    if precision == "auto":
        return "auto: bf16 where the device is built for it and the result agrees within 1 %"
    return precision
