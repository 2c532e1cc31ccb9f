"""Device and precision are decided in one place; bfloat16 only where it is multiplied natively."""

import ast
from pathlib import Path

import pytest
import torch

import nt2c
from nt2c.core.device import has_fast_bf16

CPU = torch.device("cpu")
HASWELL = {"avx2": True, "avx512_bf16": False, "amx_bf16": False}


@pytest.mark.parametrize(
    ("capabilities", "limit", "fast"),
    [
        (HASWELL, None, False),
        ({}, None, False),
        ({"avx512_bf16": True}, None, True),
        ({"amx_bf16": True}, None, True),
        ({"avx512_bf16": True, "amx_bf16": True}, "AVX2", False),
        ({"avx512_bf16": True}, "avx512_core_vnni", False),
        ({"avx512_bf16": True}, "AVX512_CORE_BF16", True),
        ({"avx512_bf16": True}, "ALL", True),
    ],
)
def test_a_processor_multiplies_bf16_where_it_and_the_library_can(
    monkeypatch, capabilities, limit, fast
):
    for name in ("ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA"):
        monkeypatch.delenv(name, raising=False)
    if limit:
        monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", limit)
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities)
    assert has_fast_bf16(CPU) is fast


def test_a_gpu_that_emulates_bf16_is_not_fast(monkeypatch):
    def supported(including_emulation=True):
        return including_emulation

    monkeypatch.setattr(torch.cuda, "is_bf16_supported", supported)
    assert not has_fast_bf16(torch.device("cuda"))


def test_what_auto_means_is_decided_in_one_module():
    package = Path(nt2c.__file__).parent
    asking = [p for p in package.rglob("*.py") if "cuda.is_available" in p.read_text("utf-8")]
    assert [path.relative_to(package).as_posix() for path in asking] == ["core/device.py"]


def test_nothing_else_turns_autocast_on():
    """Each call of autocast takes its precision from a name, or turns it off."""
    calls = []
    for path in Path(nt2c.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("autocast"):
                calls.append(f"{path.name}: {ast.unparse(node)}")
    assert sorted(calls) == [
        "loop.py: torch.autocast(device.type, torch.bfloat16, precision == 'bf16')",
        "network.py: torch.autocast(padded.device.type, torch.bfloat16, bf16)",
        "synthesizer_task.py: torch.autocast(real.device.type, enabled=False)",
    ]
