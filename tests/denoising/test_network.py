"""Tiles equal the whole, whatever the size; precision and memory are decided by measurement."""

import pytest
import torch

from nt2c.core import device as device_module
from nt2c.core.device import (
    choose_device,
    free_memory_bytes,
    is_out_of_memory,
    resident_bytes,
    set_threads,
    usable_processors,
)
from nt2c.core.errors import SettingsError
from nt2c.denoising import network as module
from nt2c.denoising.network import bf16_deviation, run_network
from tests.batch.make import random_model

# Odd, prime, thinner than the halo, smaller than a tile, and sides that leave a sliver.
SIZES = [(199, 161), (33, 33), (250, 20), (5, 331), (2, 2), (64, 301)]


def image(shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("shape", SIZES)
def test_tiles_equal_the_whole(model, shape):
    network = model.network
    whole = run_network(network, image(shape), tile_px=4096)
    assert whole.shape == shape
    for tile_px in (1, 171):
        assert torch.equal(run_network(network, image(shape), tile_px=tile_px), whole)


def test_tiles_equal_the_whole_in_a_deep_network(monkeypatch):
    network = random_model((16, 32, 64, 128)).network
    field = image((411, 553))
    whole = run_network(network, field, tile_px=4096)
    sides = record_windows(network, monkeypatch)
    assert torch.equal(run_network(network, field, tile_px=1), whole)
    assert len(sides) == 9


def test_a_smaller_halo_would_show(model, monkeypatch):
    """The test above can fail: the network does reach beyond half its declared halo."""
    whole = run_network(model.network, image((199, 161)), tile_px=4096)
    halo = model.network.receptive_field_px // 2 // 4 * 4
    monkeypatch.setattr(model.network, "receptive_field_px", halo)
    assert not torch.equal(run_network(model.network, image((199, 161)), tile_px=64), whole)


def test_little_memory_means_tiles_and_the_same_result(model, monkeypatch):
    sides = record_windows(model.network, monkeypatch)
    whole = run_network(model.network, image((199, 161)))
    assert len(sides) == 1
    sides.clear()
    monkeypatch.setattr(module, "free_memory_bytes", lambda *_: 4_000_000)
    tiled = run_network(model.network, image((199, 161)))
    assert len(sides) > 1
    per_px = model.network.bytes_per_px
    assert max(y * x for y, x in sides) * per_px <= 0.5 * 4_000_000
    assert torch.equal(tiled, whole)


def test_out_of_memory_means_smaller_tiles(model, monkeypatch):
    whole = run_network(model.network, image((199, 161)))
    sides = record_windows(model.network, monkeypatch, limit=200)
    assert torch.equal(run_network(model.network, image((199, 161))), whole)
    assert max(sides[0]) > 200
    assert all(max(side) <= 200 for side in sides[-4:])


def test_out_of_memory_in_the_smallest_tile_is_an_error(model, monkeypatch):
    record_windows(model.network, monkeypatch, limit=8)
    with pytest.raises(torch.OutOfMemoryError):
        run_network(model.network, image((199, 161)))


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 7 bytes"),
    ],
    ids=["python", "torch"],
)
def test_out_of_memory_on_the_cpu_means_smaller_tiles(model, monkeypatch, error):
    whole = run_network(model.network, image((199, 161)))
    sides = record_windows(model.network, monkeypatch, limit=200, error=error)
    assert torch.equal(run_network(model.network, image((199, 161))), whole)
    assert max(sides[0]) > 200
    assert all(max(side) <= 200 for side in sides[-4:])


def test_what_torch_says_when_memory_runs_out():
    with pytest.raises(RuntimeError) as caught:
        torch.empty(1 << 55, dtype=torch.uint8)
    assert is_out_of_memory(caught.value)
    assert not is_out_of_memory(RuntimeError("shapes differ"))


def test_a_bug_does_not_mean_smaller_tiles(model, monkeypatch):
    sides = record_windows(model.network, monkeypatch, limit=8, error=RuntimeError("a bug"))
    with pytest.raises(RuntimeError, match="a bug"):
        run_network(model.network, image((199, 161)))
    assert len(sides) == 1


def test_bound_on_memory_means_tiles_and_the_same_result(model, monkeypatch):
    whole = run_network(model.network, image((199, 161)))
    sides = record_windows(model.network, monkeypatch)
    bound = resident_bytes() + 4_000_000
    monkeypatch.setattr(device_module, "resident_bytes", lambda: bound - 4_000_000)
    tiled = run_network(model.network, image((199, 161)), max_memory_bytes=bound)
    assert len(sides) > 1
    assert torch.equal(tiled, whole)


def record_windows(network, monkeypatch, limit=1 << 20, error=None):
    """Note the sizes given to the network; run out of memory above `limit`."""
    sides, forward = [], network.forward

    def noted(batch, condition):
        sides.append(tuple(batch.shape[-2:]))
        if max(sides[-1]) > limit:
            raise error or torch.OutOfMemoryError("by the test")
        return forward(batch, condition)

    monkeypatch.setattr(network, "forward", noted)
    return sides


def test_deviation_of_bf16_is_that_of_its_rounding(model):
    # bfloat16 keeps 8 bits: a relative error of at most 2^-9 in each of ten layers.
    deviation = bf16_deviation(model.network, image((96, 96)))
    assert 2**-12 < deviation < 10 * 2**-9 * 2


def test_deviation_of_a_flat_result_is_infinite(model, monkeypatch):
    monkeypatch.setattr(model.network, "forward", lambda image, _: 0 * image[:, :1])
    assert bf16_deviation(model.network, image((40, 40))) == float("inf")


@pytest.mark.parametrize("name", ["gpu", "cuda:x", "meta", "mps:99"])
def test_unknown_device(name):
    with pytest.raises(SettingsError, match="use auto, cpu, cuda or cuda:N"):
        choose_device(name)


def test_absent_device_is_an_error_not_the_cpu():
    absent = f"cuda:{torch.cuda.device_count()}"
    with pytest.raises(SettingsError, match="CUDA devices are visible"):
        choose_device(absent)


def test_this_machine():
    assert choose_device("cpu") == torch.device("cpu")
    assert 0 < free_memory_bytes(torch.device("cpu")) < 1 << 50


@pytest.mark.parametrize(
    ("line", "folder", "names"),
    [
        ("0::/slurm/job7/step0", "slurm/job7", ("memory.max", "memory.current", "file")),
        (
            "4:memory:/slurm/job7",
            "memory/slurm/job7",
            ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_cache"),
        ),
    ],
)
def test_memory_limit_of_a_job(tmp_path, line, folder, names):
    limit, usage, cache = names
    place = tmp_path / "sys/fs/cgroup" / folder
    (place / "step0").mkdir(parents=True)
    (place / limit).write_text("5000\n")
    (place / usage).write_text("3000\n")
    (place / "memory.stat").write_text(f"anon 1\n{cache} 1200\n")
    (place / "step0" / limit).write_text("max\n")
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/self/cgroup").write_text(f"1:name=systemd:/x\n{line}\n")
    assert free_memory_bytes(torch.device("cpu"), root=tmp_path) == 5000 - 3000 + 1200


@pytest.mark.parametrize(
    ("line", "folder", "contents"),
    [
        ("0::/job7", "job7", {"cpu.max": "150000 100000\n"}),
        (
            "3:cpu,cpuacct:/job7",
            "cpu,cpuacct/job7",
            {"cpu.cfs_quota_us": "150000\n", "cpu.cfs_period_us": "100000\n"},
        ),
    ],
)
def test_threads_within_the_share_of_a_job(tmp_path, monkeypatch, line, folder, contents):
    place = tmp_path / "sys/fs/cgroup"
    (place / folder).mkdir(parents=True)
    for name, text in contents.items():
        (place / folder / name).write_text(text)
    (place / "cpu.max").write_text("max 100000\n")
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/self/cgroup").write_text(f"{line}\n")
    monkeypatch.setattr("os.sched_getaffinity", lambda _: range(8))
    assert usable_processors(tmp_path) == 2
    monkeypatch.setattr(device_module, "usable_processors", lambda: 2)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 8)
    chosen = []
    monkeypatch.setattr(torch, "set_num_threads", chosen.append)
    set_threads(None)
    set_threads(5)
    monkeypatch.setenv("OMP_NUM_THREADS", "3")  # torch has heard of it
    set_threads(None)
    assert chosen == [2, 5]
