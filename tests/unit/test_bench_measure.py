"""One run: timed, watched and checked. A failure is a result, and a wrong answer has no time."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from fruitscale.bench import measure, process_tree
from fruitscale.bench.bench_plan import BenchPlan, RoundEntry, Variant, make_plan
from fruitscale.bench.measure import BenchSetup, Measurement, check, difference
from fruitscale.bench.results import ratio_of
from fruitscale.bench.trial import Trial, needed
from fruitscale.config.loading import load
from fruitscale.config.schema import Bench
from tests.unit.bench_samples import ANSWER, DASK, LOCAL, SPARK, failure, sample

TWO = make_plan(Bench(engines=("local", "spark"), repeats=6), cores=2)

BUSY = """
import time
x = bytearray(120_000_000)
while time.process_time() < 0.6:
    pass
time.sleep(0.5)
"""


def watched(code: str, timeout: float = 60) -> process_tree.ProcessResult:
    return process_tree.watch([sys.executable, "-c", code], {}, timeout)


@pytest.fixture
def setting(tmp_path: Path) -> BenchSetup:
    config = load(None, ["bench.timeout_seconds=30"]).config
    return BenchSetup(config, {1000: str(tmp_path / "photos")}, tmp_path, tmp_path / "cache")


def pretend(monkeypatch: pytest.MonkeyPatch, code: str) -> None:
    """Put a script in the place of `fruitscale run`."""
    monkeypatch.setattr(measure, "command", lambda config: [sys.executable, "-c", code, str(config)])


def test_memory_and_cpu_of_the_whole_tree_are_seen() -> None:
    seen = watched(
        f"import subprocess, sys; print('out'); subprocess.run([sys.executable, '-c', {BUSY!r}], check=True)"
    )
    assert (seen.code, seen.out, seen.timed_out) == (0, "out\n", False)
    assert 120 < seen.peak_mb < 300
    assert 0.5 <= seen.cpu_seconds < 3
    assert 1 <= seen.seconds < 20


def test_one_that_takes_too_long_is_ended_with_all_it_started() -> None:
    before = {p.pid for p in psutil.Process().children(recursive=True)}
    seen = watched("import subprocess, sys; subprocess.run(['sleep', '60'])", timeout=1)
    assert seen.timed_out
    assert seen.seconds < 15
    left = [p for p in psutil.Process().children(recursive=True) if p.pid not in before]
    assert not left


@pytest.mark.parametrize(
    ("code", "outcome", "words"),
    [
        pytest.param("import sys; print('Error: no such thing', file=sys.stderr); sys.exit(3)", "failed",
                     "exit code 3: no such thing", id="failed"),
        pytest.param("import sys; sys.exit(1)", "failed", "exit code 1: it said nothing", id="silent"),
        pytest.param("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "out of memory", "exit code -9", id="killed"),
        pytest.param("x = [0] * 10**15", "out of memory", "MemoryError", id="out-of-memory"),
    ],
)  # fmt: skip
def test_a_failing_variant_is_a_result(
    setting: BenchSetup, monkeypatch: pytest.MonkeyPatch, code: str, outcome: str, words: str
) -> None:
    pretend(monkeypatch, code)
    found = measure.measure(setting, LOCAL, "timed", 3)
    assert (found.outcome, found.seconds, found.answer, found.round) == (outcome, None, None, 3)
    assert words in found.message
    assert found.compared("process") is None
    assert list(setting.work.iterdir()) == [], "nothing is left of a run"


def test_a_run_that_takes_too_long_is_a_result(setting: BenchSetup, monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(monkeypatch, "import time; time.sleep(60)")
    bench = setting.config.bench.model_copy(update={"timeout_seconds": 1.0})
    short = replace(setting, config=setting.config.model_copy(update={"bench": bench}))
    assert measure.measure(short, LOCAL, "timed").outcome == "timeout"


def test_a_cold_run_has_a_cache_of_its_own(setting: BenchSetup, monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(monkeypatch, "import os, sys; sys.exit('cache: ' + os.environ['XDG_CACHE_HOME'])")
    cold, warm = (measure.measure(setting, LOCAL, kind).message for kind in ("cold", "timed"))
    assert str(setting.cache) in warm
    assert str(setting.cache) not in cold


def test_the_configuration_of_a_run_is_the_variants(setting: BenchSetup, monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(monkeypatch, "import sys; sys.exit('config: ' + open(sys.argv[1]).read()[:250])")
    told = measure.measure(setting, Variant("dask", 3, 1000, "bf16"), "timed").message
    assert '"engine":"dask","slots":3' in told
    assert f'"uri":"{setting.photos[1000]}"' in told


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"featurized": 999, "rejected": 1}, "999 images and 1 rejects, not 1,000 and 0"),
        ({"features_sha256": "other"}, "its features are not the reference's"),
        ({"components": 51}, "51 components keep"),
        ({"retained_variance": 0.95 + 2e-9}, "keep 0.950000002000"),
        ({"retained_variance": float("nan")}, "keep nan"),
    ],
)
def test_a_wrong_answer_voids_its_time(changed: dict[str, float | str], words: str) -> None:
    wrong = sample(SPARK, 5.0, answer=replace(ANSWER, **changed))  # type: ignore[arg-type]
    checked = check(wrong, sample(kind="reference"))
    assert checked.outcome == "wrong answer"
    assert words in checked.message
    assert (checked.seconds, checked.images_per_second, checked.stages) == (None, None, {})


def test_a_right_answer_keeps_its_time() -> None:
    right = sample(SPARK, 5.0, answer=replace(ANSWER, retained_variance=0.95 + 5e-10))
    assert check(right, sample(kind="reference")) == right
    assert difference(ANSWER, ANSWER) is None


def test_without_a_reference_no_time_counts() -> None:
    checked = check(sample(SPARK), failure(LOCAL, kind="reference"))
    assert (checked.outcome, checked.seconds) == ("wrong answer", None)


class Machine:
    """Stands for `measure`: remembers what was asked for, and answers at once."""

    def __init__(self, broken: Variant | None = None, wrong: Variant | None = None, spread: float = 0.0) -> None:
        self.asked: list[tuple[Variant, str, int]] = []
        self._broken, self._wrong, self._spread = broken, wrong, spread

    def __call__(self, setting: BenchSetup, variant: Variant, kind: measure.Kind, number: int) -> Measurement:
        self.asked.append((variant, kind, number))
        if variant == self._broken:
            return failure(variant, kind=kind, round=number)
        answer = replace(ANSWER, features_sha256="other") if variant == self._wrong else ANSWER
        slow = 1 + self._spread * (len(self.asked) % 3)
        return sample(variant, 10 * slow, kind=kind, round=number, answer=answer)


def try_out(setting: BenchSetup, plan: BenchPlan, machine: Machine) -> list[Measurement]:
    return Trial(plan, setting, lambda line: None, machine).run()


def test_references_then_cold_starts_then_rounds(setting: BenchSetup) -> None:
    machine = Machine()
    try_out(setting, TWO, machine)
    assert [(v.engine, kind) for v, kind, _ in machine.asked[:3]] == [
        ("local", "reference"), ("local", "cold"), ("spark", "cold"),
    ]  # fmt: skip
    rounds = [number for _, kind, number in machine.asked if kind in ("timed", "twin")]
    assert rounds == sorted(n for n in range(1, 6) for _ in range(3)), "5 rounds settle it when nothing varies"


def test_only_the_first_variant_of_an_engine_starts_cold(setting: BenchSetup) -> None:
    machine = Machine()
    try_out(setting, make_plan(Bench(engines=("local",), slots=(1, 2), repeats=1), 2), machine)
    assert [kind for _, kind, number in machine.asked if number == 0] == ["reference", "cold", "warm-up"]


def test_noise_goes_on_to_the_most(setting: BenchSetup) -> None:
    samples = try_out(setting, TWO, Machine(spread=0.3))
    assert max(s.round for s in samples) == 6


def test_a_variant_that_fails_at_first_is_not_run_again(setting: BenchSetup) -> None:
    machine = Machine(broken=SPARK)
    samples = try_out(setting, TWO, machine)
    assert sum(variant == SPARK for variant, _, _ in machine.asked) == 1
    assert sum(s.variant == LOCAL and s.kind == "timed" for s in samples) == 5


def test_a_wrong_one_is_never_in_a_pair(setting: BenchSetup) -> None:
    samples = try_out(setting, TWO, Machine(wrong=SPARK))
    assert {s.outcome for s in samples if s.variant == SPARK} == {"wrong answer"}
    pair = next(c for c in TWO.comparisons if not c.is_floor)
    assert ratio_of(pair, samples, "process", 0) is None


def test_others_go_on_without_their_baseline(setting: BenchSetup) -> None:
    plan = make_plan(Bench(engines=("local", "spark", "dask"), reference="dask"), 2)
    samples = try_out(setting, plan, Machine(broken=LOCAL))
    assert {s.round for s in samples if s.variant in (SPARK, DASK) and s.kind == "timed"} == {1, 2, 3, 4, 5}


def test_what_is_settled_is_not_run_again() -> None:
    plan = make_plan(Bench(engines=("local", "spark", "dask")), 2)
    samples = []
    for n in range(1, 6):
        samples += [
            sample(SPARK, 9.0, round=n),
            sample(LOCAL, 10.0, round=n),
            sample(LOCAL, 10.0, round=n, kind="twin"),
        ]
        samples.append(sample(DASK, 9.0 + n, round=n))
    assert set(needed(plan, samples, "process")) == {RoundEntry(DASK), RoundEntry(LOCAL)}
