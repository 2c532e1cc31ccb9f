"""Whether this machine computes the same twice: one denoising many times, bit by bit.

    python -m benchmarks.repeat --times 2000

A field of noise goes through the bundled model again and again; every result is compared with the
first one. A processor, a memory or a library that errs once in a thousand times shows here, and in
the log of a training as `great_losses`. Prints one JSON line with the numbers of the results that
differed and by how much at most.
"""

import argparse
import json

import torch
from benchmarks.about import about

from nt2c.denoising.denoiser import Denoiser, load_model


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--times", type=int, default=2000)
    parser.add_argument("--side", type=int, default=192)
    parser.add_argument("--device", default="auto")
    arguments = parser.parse_args()

    denoiser = Denoiser(load_model(), device=arguments.device, precision="fp32")
    random = torch.Generator().manual_seed(0)
    field = torch.randn(arguments.side, arguments.side, generator=random).to(denoiser.device)
    first = denoiser.estimate(field).clone()
    differed = {}
    for number in range(1, arguments.times):
        again = denoiser.estimate(field)
        if not torch.equal(again, first):
            differed[number] = float((again - first).abs().max())
    record = {"device": str(denoiser.device), "times": arguments.times, "differed": differed}
    print(json.dumps(about(torch.get_num_threads()) | record))


if __name__ == "__main__":
    main()
