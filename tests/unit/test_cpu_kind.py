"""The kind of CPU: as oneDNN takes it, capped by the environment, and what the portable one is."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from fruitscale.config.schema import Config
from fruitscale.errors import EngineError
from fruitscale.kernels import cpu_kind
from fruitscale.pipeline import cpu_mixture, precision_advice
from fruitscale.stages import ShardReport

HASWELL = frozenset(["sse4_1", "avx", "avx2", "fma"])
SKYLAKE = HASWELL | {"avx512f", "avx512bw", "avx512vl", "avx512dq"}
ICE_LAKE = SKYLAKE | {"avx512_vnni"}
MILAN = HASWELL
GENOA = ICE_LAKE | {"avx512_bf16"}
SAPPHIRE_RAPIDS = GENOA | {"avx512_fp16", "avx_vnni", "amx_tile", "amx_int8", "amx_bf16"}


@pytest.mark.parametrize(
    ("flags", "cap", "kind"),
    [
        (HASWELL, "", "avx2"),
        (MILAN, "avx512_core_amx", "avx2"),
        (SKYLAKE, "", "avx512_core"),
        (ICE_LAKE, "", "avx512_core_vnni"),
        (GENOA, "", "avx512_core_bf16"),
        (SAPPHIRE_RAPIDS, "", "avx512_core_amx"),
        (SAPPHIRE_RAPIDS, "avx2", "avx2"),
        (SAPPHIRE_RAPIDS, "avx2_vnni", "avx2_vnni"),
        (SAPPHIRE_RAPIDS, "avx512_core", "avx512_core"),
        (SAPPHIRE_RAPIDS, "sse41", "sse41"),
        (SAPPHIRE_RAPIDS, "no such set", "avx512_core_amx"),
        (HASWELL - {"avx2", "fma"}, "avx2", "avx"),
        (frozenset(), "avx2", "x86_64 up to avx2"),
    ],
)
def test_the_kind_is_the_largest_set_within_the_cap(flags: frozenset[str], cap: str, kind: str) -> None:
    assert cpu_kind.kind_of(flags, cap) == kind


@pytest.mark.parametrize("variable", cpu_kind.CAPS)
def test_both_variables_cap(variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in cpu_kind.CAPS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv(variable, "SSE41")
    monkeypatch.setattr(cpu_kind, "cpu_flags", lambda: SAPPHIRE_RAPIDS)
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    assert cpu_kind.cpu_kind() == "sse41"


def test_off_x86_the_kind_is_the_architecture(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.machine", lambda: "aarch64")
    assert cpu_kind.cpu_kind() == "aarch64"
    assert not cpu_kind.can_be_portable()


PORTABLE = """
import re, sys
from fruitscale.errors import ModelError
from fruitscale.kernels import backbone
from fruitscale.kernels.backbone import Execution
from tests.unit.test_quantization import small_network
payload = small_network()
first, second = [Execution(portable=word == "portable") for word in sys.argv[1:]]
print(backbone.load(payload, first).cpu)
try:
    print(backbone.load(payload, second).cpu)
except ModelError as error:
    print("refused:", error.message)
"""


def loaded_kinds(first: str, second: str) -> list[str]:
    environment = {name: value for name, value in os.environ.items() if name not in cpu_kind.CAPS}
    ran = subprocess.run(
        [sys.executable, "-c", PORTABLE, first, second], env=environment, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout.splitlines()


@pytest.mark.skipif(not cpu_kind.can_be_portable(), reason="this CPU lacks AVX2")
def test_a_process_is_portable_from_its_first_model_on() -> None:
    assert loaded_kinds("portable", "any") == ["avx2", "avx2"]
    first, second = loaded_kinds("any", "portable")
    if first.startswith("avx512"):
        assert second.startswith("refused: This process can't use the portable instruction set")


def report(kind: str) -> ShardReport:
    return ShardReport(0, cpu=kind)


def test_mixing_is_a_warning_once() -> None:
    kinds, warned = cpu_mixture.cpu_kinds(Config(), ("avx2",)), list[str]()
    assert not kinds.add(report("avx2"), 64, warned.append)
    assert kinds.add(report("avx512_core_amx"), 64, warned.append)
    assert not kinds.add(report("avx512_core_amx"), 64, warned.append)
    assert not kinds.add(report(""), 64, warned.append)
    assert len(warned) == 1
    assert "64 photos of this run were computed on avx2, others are on avx512_core_amx." in warned[0]


def test_same_allows_the_kind_that_is_there_and_refuses_two() -> None:
    config = Config.model_validate({"model": {"cpu": "same"}})
    assert cpu_mixture.cpu_kinds(config, ("avx2",)).only_allowed == "avx2"
    fresh = cpu_mixture.cpu_kinds(config, ())
    assert fresh.only_allowed is None
    fresh.add(report("avx2"), 0, print)
    with pytest.raises(EngineError, match="different kinds"):
        fresh.add(report("avx512_core"), 0, print)


def test_what_is_recorded_at_the_start_is_not_refused_later() -> None:
    same = cpu_mixture.cpu_kinds(Config.model_validate({"model": {"cpu": "same"}}), ("avx2",))
    assert same.at_start(("sse41",)) == ("avx2",)  # its workers are refused
    assert cpu_mixture.cpu_kinds(Config(), ("avx2",)).at_start(("sse41",)) == ("avx2", "sse41")


@pytest.mark.parametrize(
    ("types", "advised"),
    [
        (["m7i.2xlarge"], True),
        (["c7i-flex.large", "r7iz.xlarge"], True),
        (["m8i.xlarge", "i7ie.large"], True),
        (["c6i.2xlarge"], False),
        (["m7i.large", "c6i.large"], False),
        (["m7g.large"], False),
        (["m7a.large"], False),
        ([], False),
    ],
)
def test_bf16_is_advised_where_every_machine_has_amx(types: list[str], advised: bool) -> None:
    assert (precision_advice.on_instances(Config(), types) is not None) is advised


@pytest.mark.parametrize("setting", [{"precision": "bf16"}, {"runtime": "tensorflow"}, {"cpu": "portable"}])
def test_bf16_is_not_advised_where_it_would_not_work(setting: dict[str, str]) -> None:
    assert precision_advice.on_instances(Config.model_validate({"model": setting}), ["m7i.large"]) is None
