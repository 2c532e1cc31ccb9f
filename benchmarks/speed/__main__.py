"""Speed and memory, file to file, against Topaz-Denoise `unet`, in alternating runs on one machine.

    python -m benchmarks.speed [--topaz DIR/bin/topaz] [--sizes 1024 4096 K3 K3-super]
                               [--peer-sizes 1024 4096] [--threads 1 2] [--repeats 3]

Each program denoises noise micrographs (float32) with the given number of threads; then our stages
are timed one by one. A round of ours and the peer's adds a line to results/speed.jsonl, and so does
the split. Topaz takes minutes for the larger sizes: `--peer-sizes` says where it runs.
"""

import argparse
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

import torch
from benchmarks.about import RESULTS, about
from benchmarks.quality.peers import TOPAZ_VERSION
from benchmarks.speed.runs import SIZES, TINY, Program, Size, measure, write_noise
from benchmarks.speed.stages import stages

from nt2c.io.records import append_record

NT2C = (str(Path(sys.executable).parent / "nt2c"), "denoise")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--topaz", help="the program topaz of its own environment")
    parser.add_argument("--sizes", nargs="+", choices=SIZES, default=list(SIZES), metavar="SIZE")
    parser.add_argument(
        "--peer-sizes", nargs="*", choices=SIZES, default=["1024"], metavar="SIZE",
        help="where Topaz runs too; at 4096 it takes about 5 minutes a run with 2 threads",
    )  # fmt: skip
    parser.add_argument("--threads", nargs="+", type=int, default=[1, 2])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--model", default="general", help="bundled model or file")
    parser.add_argument("--results", type=Path, default=RESULTS / "speed.jsonl")
    arguments = parser.parse_args()
    for threads in arguments.threads:
        torch.set_num_threads(threads)
        for name in arguments.sizes:
            size = SIZES[name]
            record_rounds(size, threads, arguments)
            split = stages(size, arguments.model, arguments.repeats)
            record = {"kind": "stages", **facts(size, threads), "seconds": split}
            append_record(arguments.results, record)
            shown = "  ".join(f"{stage} {seconds:.3f}" for stage, seconds in split.items())
            print(f"{name} on {threads}: {shown}", flush=True)


def record_rounds(size: Size, threads: int, arguments: argparse.Namespace) -> None:
    ours = Program("nt2c", (*NT2C, "--model", arguments.model), size.files)
    peer = None
    if arguments.topaz and size.name in arguments.peer_sizes:
        command = (arguments.topaz, "denoise", "-d", "-1", "-j", str(threads))
        peer = Program("topaz", command, 1)
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        tiny, files = work / "tiny.mrc", [work / f"{i}.mrc" for i in range(size.files)]
        write_noise(tiny, TINY, size.pixel_size_a, 0)
        for seed, file in enumerate(files, start=1):
            write_noise(file, size.shape, size.pixel_size_a, seed)
        for _ in range(arguments.repeats):
            record = {"kind": "run", **facts(size, threads)}
            record["nt2c"] = asdict(measure(ours, files, tiny, threads))
            if peer is not None:
                record["topaz"] = asdict(measure(peer, files, tiny, threads))
                record["ratio"] = record["topaz"]["each_s"] / record["nt2c"]["each_s"]
            append_record(arguments.results, record)
            ratio = f", Topaz {record['ratio']:.0f} times as long" if peer else ""
            print(f"{size.name} on {threads}: {record['nt2c']['each_s']:.2f} s a file{ratio}",
                  flush=True)  # fmt: skip


def facts(size: Size, threads: int) -> dict[str, object]:
    return {
        "size": size.name,
        "shape": size.shape,
        "pixel_size_a": size.pixel_size_a,
        "topaz_version": TOPAZ_VERSION,
        **about(threads),
    }


if __name__ == "__main__":
    main()
