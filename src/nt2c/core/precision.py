"""Whether a device multiplies bfloat16 natively: decided here, for denoising and training alike."""

import os

import torch

_ONEDNN_LIMITS = ("ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA")
_WITHOUT_BF16 = frozenset(
    "SSE41 AVX AVX2 AVX2_VNNI AVX2_VNNI_2 AVX512_CORE AVX512_CORE_VNNI".split()
)


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


def _onednn_may_use_bf16() -> bool:
    """Whether the environment leaves oneDNN, which multiplies, the instructions for bfloat16.

    Names of `dnnl_cpu_isa_t`: of those below "AVX512_CORE_BF16" none multiplies it natively.
    """
    limit = next((os.environ[name] for name in _ONEDNN_LIMITS if os.environ.get(name)), "ALL")
    return limit.upper() not in _WITHOUT_BF16
