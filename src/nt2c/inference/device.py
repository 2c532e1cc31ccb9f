"""What the machine offers: devices, native bfloat16, free memory."""

from collections.abc import Iterator
from pathlib import Path

import torch

from nt2c.core.errors import SettingsError

_CGROUPS = Path("/sys/fs/cgroup")
_NO_LIMIT = 1 << 60


def choose_device(device: str) -> torch.device:
    """Resolve "auto", "cpu", "cuda" or "cuda:1".

    Raises
    ------
    SettingsError
        The device does not exist here: never fall back in silence.
    """
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        chosen = torch.device(device)
    except RuntimeError:
        chosen = torch.device("meta")
    if chosen.type not in ("cpu", "cuda"):
        raise SettingsError(f"--device {device}: use auto, cpu, cuda or cuda:N")
    if chosen.type == "cuda" and (chosen.index or 0) >= torch.cuda.device_count():
        raise SettingsError(
            f"--device {device}: {torch.cuda.device_count()} CUDA devices are visible; "
            "use --device cpu, or check the driver"
        )
    return chosen


def describe_device(device: torch.device) -> str:
    """Name the device for people."""
    if device.type == "cuda":
        return f"{device} ({torch.cuda.get_device_name(device)})"
    return f"{device} ({torch.get_num_threads()} threads)"


def has_fast_bf16(device: torch.device) -> bool:
    """Whether the device multiplies bfloat16 natively."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    capability = torch.cpu.get_capabilities()
    return bool(capability.get("avx512_bf16") or capability.get("amx_bf16"))


def free_memory_bytes(device: torch.device) -> int:
    """Memory that can still be used: of the GPU, or of the machine within the job's limit.

    The limit is that of the control groups of this process (as set by Slurm or a container).
    Where nothing can be found out the answer is very large.
    """
    if device.type == "cuda":
        unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return torch.cuda.mem_get_info(device)[0] + unused
    return min([_machine_free(), *_group_free()])


def _machine_free() -> int:
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if "MemAvailable" in line)
    except (OSError, StopIteration):
        return _NO_LIMIT


def _group_free() -> Iterator[int]:
    """Yield what is left below the limit of each group around this process (version 2 and 1)."""
    try:
        groups = [line.split(":", 2) for line in Path("/proc/self/cgroup").read_text().splitlines()]
    except OSError:
        return
    for _, controllers, place in groups:
        if controllers not in ("", "memory"):
            continue
        top = _CGROUPS / controllers
        names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_cache")
        limit, usage, cache = names if controllers else ("memory.max", "memory.current", "file")
        folder = top / place.lstrip("/")
        for group in [folder, *folder.parents]:
            if not group.is_relative_to(top):
                break
            try:
                most, used = (int((group / name).read_text()) for name in (limit, usage))
                counts = dict(c.split() for c in (group / "memory.stat").read_text().splitlines())
            except (OSError, ValueError):  # no limit here ("max"), or no such controller
                continue
            yield most - used + int(counts.get(cache, 0))
