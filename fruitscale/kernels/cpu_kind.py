"""The kind of CPU that kernels are compiled for: the instruction set that oneDNN, which OpenVINO uses, takes here."""

from __future__ import annotations

import os
import platform
from functools import cache
from pathlib import Path

from fruitscale.errors import ModelError

CAPS = ("ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA")
"""Environment variables that cap the instruction set; the first that is set counts, as in oneDNN."""
PORTABLE = "AVX2"
"""The instruction set of every x86-64-v3 CPU."""
# https://uxlfoundation.github.io/oneDNN/dev_guide_cpu_dispatcher_control.html: each set contains those before it, except
# avx2_vnni_2 and avx512_core; flags are those of /proc/cpuinfo that it adds.
_AVX2_FLAGS = frozenset({"avx2", "fma"})
_AVX512_FLAGS = frozenset({"avx512f", "avx512bw", "avx512vl", "avx512dq"}) | _AVX2_FLAGS
_VNNI_FLAGS = _AVX512_FLAGS | {"avx512_vnni"}
_BF16_FLAGS = _VNNI_FLAGS | {"avx512_bf16"}
_FP16_FLAGS = _BF16_FLAGS | {"avx512_fp16", "avx_vnni"}
_AMX_FLAGS = _FP16_FLAGS | {"amx_tile", "amx_int8", "amx_bf16"}
BF16_FLAG = "avx512_bf16"
KINDS = {
    "sse41": frozenset({"sse4_1"}),
    "avx": frozenset({"avx"}),
    "avx2": _AVX2_FLAGS,
    "avx2_vnni": _AVX2_FLAGS | {"avx_vnni"},
    "avx2_vnni_2": _AVX2_FLAGS | {"avx_vnni", "avx_vnni_int8", "avx_ne_convert"},
    "avx512_core": _AVX512_FLAGS,
    "avx512_core_vnni": _VNNI_FLAGS,
    "avx512_core_bf16": _BF16_FLAGS,
    "avx512_core_fp16": _FP16_FLAGS,
    "avx512_core_amx": _AMX_FLAGS,
    "avx512_core_amx_fp16": _AMX_FLAGS | {"amx_fp16"},
}
"""What each instruction set needs, the smallest first; the largest that the CPU has is taken."""
SHOWN = ("avx2", "avx_vnni", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16", "amx_int8")
"""The flags that decide how fast a network is."""


def cpu_kind() -> str:
    """Return the instruction set that oneDNN takes here, capped by the environment; off x86, the architecture."""
    if platform.machine() not in ("x86_64", "AMD64"):
        return platform.machine()
    cap = next((value.lower() for name in CAPS if (value := os.environ.get(name))), "")
    return kind_of(cpu_flags(), cap)


def kind_of(flags: frozenset[str], cap: str = "") -> str:
    """Return the largest instruction set for some flags, up to `cap`; without flags (not Linux), x86_64."""
    if not flags:
        return "x86_64" + (f" up to {cap}" if cap in KINDS else "")
    allowed = [name for name, needed in KINDS.items() if needed <= flags]
    if cap in KINDS:
        allowed = [name for name in allowed if _contains(cap, name)]
    return allowed[-1] if allowed else "sse2"


def _contains(cap: str, name: str) -> bool:
    """Return whether an instruction set contains another, as oneDNN orders them."""
    names = list(KINDS)
    is_skipped = name in ("avx2_vnni", "avx2_vnni_2") and not cap.startswith("avx2_vnni")
    return name == cap or (names.index(name) < names.index(cap) and not is_skipped)


def shown_flags() -> list[str]:
    """Return which of the flags that decide the speed of a network this CPU has."""
    return [flag for flag in SHOWN if flag in cpu_flags()]


def can_bf16() -> bool:
    """Return whether kernels can compute in bf16 here; also unless known otherwise."""
    kind = cpu_kind()
    return kind not in KINDS or BF16_FLAG in KINDS[kind]


def can_be_portable() -> bool:
    """Return whether this CPU has the portable instruction set; also unless known otherwise."""
    is_x86 = platform.machine() in ("x86_64", "AMD64")
    return is_x86 and (not cpu_flags() or portable_kind() == PORTABLE.lower())


def has_bf16() -> bool:
    """Return whether bf16 is faster than f32 here: AMX, within the environment's cap."""
    return cpu_kind().startswith("avx512_core_amx")


@cache
def kind_in_use() -> str:
    """Return the kind when this was first called: OpenVINO, too, looks at the CPU once per process."""
    return cpu_kind()


def portable_kind() -> str:
    """Return the kind of this CPU within the portable instruction set."""
    return kind_of(cpu_flags(), PORTABLE.lower())


def make_portable() -> None:
    """Restrict this process to the portable instruction set; no effect once OpenVINO has looked at the CPU.

    Raises ModelError if this CPU lacks it.
    """
    if not can_be_portable():
        raise ModelError(
            f"model.cpu is portable, but this CPU ({platform.machine()}, {cpu_kind()}) lacks {PORTABLE}.",
            "Use --set model.cpu=any or same.",
        )
    os.environ[CAPS[0]] = PORTABLE


@cache
def cpu_flags() -> frozenset[str]:
    """Return the CPU's flags as Linux names them; empty on other systems."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return frozenset(next(line.partition(":")[2] for line in lines if line.startswith("flags")).split())
    except (OSError, StopIteration):
        return frozenset()
