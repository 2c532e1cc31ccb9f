"""What the machine offers: devices and the precision they are built for, processors, memory.

What "auto" means is decided here, for denoising and training alike.
"""

import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from nt2c.core.errors import SettingsError
from nt2c.core.words import plural

_SYSTEM = Path("/")
_NO_LIMIT = 1 << 60
_ONEDNN_LIMITS = ("ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA")
_WITHOUT_BF16 = frozenset(
    "SSE41 AVX AVX2 AVX2_VNNI AVX2_VNNI_2 AVX512_CORE AVX512_CORE_VNNI".split()
)


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
    except (RuntimeError, TypeError):
        chosen = torch.device("meta")
    if chosen.type not in ("cpu", "cuda"):
        raise SettingsError(
            f"'device' {device}: use auto, cpu, cuda or cuda:N (or cuda:all, for files)"
        )
    if chosen.type == "cuda" and (chosen.index or 0) >= torch.cuda.device_count():
        raise SettingsError(
            f"'device' {device}: {torch.cuda.device_count()} CUDA devices are visible; "
            "use 'device' cpu, or check the driver"
        )
    return chosen


def split_device(device: str) -> list[str]:
    """Return the devices that "cuda:all" stands for; another device alone.

    Raises
    ------
    SettingsError
        There is no GPU.
    """
    if device != "cuda:all":
        return [device]
    count = torch.cuda.device_count()
    if not count:
        raise SettingsError("'device' cuda:all: no CUDA device is visible; check the driver")
    return [f"cuda:{index}" for index in range(count)]


def describe_device(device: torch.device) -> str:
    """Name the device for people."""
    if device.type == "cuda":
        return f"{device} ({torch.cuda.get_device_name(device)})"
    return f"{device} ({plural(torch.get_num_threads(), 'thread')})"


def has_fast_bf16(device: torch.device) -> bool:
    """Whether the device multiplies bfloat16 natively.

    Where it does not, bfloat16 is emulated, and a training step takes about ten times as long as in
    float32: processors need AVX512-BF16 or AMX, which oneDNN must be allowed to use.
    """
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    capability = torch.cpu.get_capabilities()
    native = bool(capability.get("avx512_bf16") or capability.get("amx_bf16"))
    return native and _onednn_may_use_bf16()


def free_memory_bytes(
    device: torch.device, limit_bytes: int | None = None, root: Path = _SYSTEM
) -> int:
    """Memory that can still be used: of the GPU, or of the machine within the job's limit.

    The job's limit is that of the control groups of this process (as set by Slurm or a container).
    Where nothing can be found out the answer is very large.

    Parameters
    ----------
    device : torch.device
        Whose memory.
    limit_bytes : int, optional
        What this process shall use at most, with what it uses already.
    root : Path
        Folder that holds `proc` and `sys`, by which Linux tells.
    """
    if device.type == "cuda":
        allocated = torch.cuda.memory_allocated(device)
        unused = torch.cuda.memory_reserved(device) - allocated
        free, used = torch.cuda.mem_get_info(device)[0] + unused, allocated
    else:
        free, used = min([_machine_free(root), *_group_free(root)]), resident_bytes()
    return free if limit_bytes is None else max(0, min(free, limit_bytes - used))


def resident_bytes() -> int:
    """Memory of the machine that this process uses; 0 where the system does not tell."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except OSError:
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")


def is_out_of_memory(error: BaseException) -> bool:
    """Tell whether memory ran out, of a GPU or of the machine, in torch or elsewhere."""
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    # On the CPU torch has no class for it.
    words = ("can't allocate memory", "bad_alloc", "bad allocation")
    return isinstance(error, RuntimeError) and any(word in str(error) for word in words)


def usable_processors(root: Path = _SYSTEM) -> int:
    """Count the processors that this process may use: those it is bound to, within its share.

    torch counts those of the machine that it is bound to; in a container that has a share of many
    processors that makes far more threads than can run.
    """
    bound = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return max(1, min([bound or 1, *(math.ceil(share) for share in _group_processors(root))]))


def set_threads(count: int | None) -> None:
    """Let torch compute with `count` threads.

    By default OMP_NUM_THREADS, or as many as there are usable processors, never more than torch
    would take.
    """
    if count is None and "OMP_NUM_THREADS" not in os.environ:
        count = min(torch.get_num_threads(), usable_processors())
    if count is not None:
        torch.set_num_threads(count)


@contextmanager
def one_thread_each() -> Iterator[int]:
    """Let torch compute with one thread in each thread that calls it; give the number before."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield before
    finally:
        torch.set_num_threads(before)


def _onednn_may_use_bf16() -> bool:
    """Whether the environment leaves oneDNN, which multiplies, the instructions for bfloat16.

    Names of `dnnl_cpu_isa_t`: of those below "AVX512_CORE_BF16" none multiplies it natively.
    """
    limit = next((os.environ[name] for name in _ONEDNN_LIMITS if os.environ.get(name)), "ALL")
    return limit.upper() not in _WITHOUT_BF16


def _machine_free(root: Path) -> int:
    try:
        lines = (root / "proc/meminfo").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if "MemAvailable" in line)
    except (OSError, StopIteration):
        return _NO_LIMIT


def _group_free(root: Path) -> Iterator[int]:
    """Yield what is left below the memory limit of each group (version 2 and 1)."""
    for version, group in _groups(root, "memory"):
        names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_cache")
        limit, usage, cache = names if version == 1 else ("memory.max", "memory.current", "file")
        try:
            most, used = (int((group / name).read_text()) for name in (limit, usage))
            counts = dict(c.split() for c in (group / "memory.stat").read_text().splitlines())
        except (OSError, ValueError):  # no limit here ("max"), or no such controller
            continue
        yield most - used + int(counts.get(cache, 0))


def _group_processors(root: Path) -> Iterator[float]:
    """Yield how many processors' time each group may use (version 2 and 1)."""
    for version, group in _groups(root, "cpu"):
        names = ["cpu.cfs_quota_us", "cpu.cfs_period_us"] if version == 1 else ["cpu.max"]
        try:
            quota, period = map(int, " ".join((group / n).read_text() for n in names).split())
        except (OSError, ValueError):  # no limit here ("max"), or no such controller
            continue
        if quota > 0 and period > 0:
            yield quota / period


def _groups(root: Path, controller: str) -> Iterator[tuple[int, Path]]:
    """Yield version and folder of each control group around this process that has a controller."""
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return
    for _, controllers, place in (line.split(":", 2) for line in lines):
        if controllers and controller not in controllers.split(","):
            continue
        top = root / "sys/fs/cgroup" / controllers
        folder = top / place.lstrip("/")
        for group in [folder, *folder.parents]:
            if not group.is_relative_to(top):
                break
            yield (1 if controllers else 2), group
