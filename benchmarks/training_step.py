"""What a training step of a fit costs, and where: fields, crops, network, in either precision.

    python -m benchmarks.training_step --recipe quick --steps 8 --device cpu

The network is the bundled one, the fields are those of the recipe, in plain simulation; a step is
forward, backward and the optimizer. Processor seconds are counted on a CPU, wall time on a GPU.
`ONEDNN_MAX_CPU_ISA=AVX2` before the command imitates a processor without bfloat16. Prints one JSON
line: seconds of a step as the fit would do it (`step_s`), in float32 and bfloat16, and of a field.
"""

import argparse
import json
import time
from collections.abc import Callable

import torch
from benchmarks.about import about

from nt2c.core.device import choose_device, has_fast_bf16
from nt2c.denoising.denoiser import load_model
from nt2c.pipeline.settings import read_fit_recipe
from nt2c.training.denoiser import DenoisingTask, Material
from nt2c.training.loop import in_precision
from nt2c.training.pairs import PairSource

_FIELDS = 4


def seconds(work: Callable[[], None], device: torch.device) -> float:
    clock = time.process_time if device.type == "cpu" else time.perf_counter
    started = clock()
    work()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return clock() - started


def drop(_: object) -> None:
    """Forget what was made."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--recipe", default="quick")
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--device", default="auto")
    arguments = parser.parse_args()

    device, model = choose_device(arguments.device), load_model()
    network = model.network.to(device, memory_format=torch.channels_last)
    network.train().requires_grad_(True)
    recipe = read_fit_recipe(arguments.recipe).denoiser(network.settings, model.pixel_size_a)
    crops = recipe.pairs.batch + (recipe.recorrupted.batch if recipe.recorrupted.weight else 0)
    # The rest of the pool is the same, later; crops of micrographs cost what simulated ones do.
    recipe = recipe.replace(pairs=recipe.pairs.replace(pool=2, batch=crops))
    source = PairSource(recipe.simulation, recipe.pairs, 0, device)
    task = DenoisingTask(recipe, device, Material(source))
    optimizer = torch.optim.AdamW(network.parameters(), 1e-9)
    drop(source.fields(1000, 1))  # draws the species, of which a training replaces few
    field = seconds(lambda: drop(source.fields(1001, _FIELDS)), device) / _FIELDS

    def steps(precision: str) -> float:
        forward = in_precision(network, device, precision)

        def work() -> None:
            for _ in range(arguments.steps):
                task.loss(forward, 0).backward()  # the fields of the first step are there
                optimizer.step()
                optimizer.zero_grad()

        task.loss(forward, 0)
        return seconds(work, device) / arguments.steps

    fp32, bf16 = steps("fp32"), steps("bf16")
    made = field / recipe.pairs.steps_per_fields
    record = {
        "recipe": arguments.recipe,
        "device": str(device),
        "crops": crops,
        "step_s": made + (bf16 if has_fast_bf16(device) else fp32),
        "fp32_s": fp32,
        "bf16_s": bf16,
        "field_s": field,
        "share_of_fields": made / (made + fp32),
    }
    print(json.dumps(about(torch.get_num_threads()) | record))


if __name__ == "__main__":
    main()
