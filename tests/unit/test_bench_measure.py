"""One run: timed, measured and checked. Failures are returned as results, and a wrong result has no time."""

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
from fruitscale.bench.trial import Trial, next_round
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


def run_code(code: str, timeout: float = 60) -> process_tree.ProcessResult:
    return process_tree.run([sys.executable, "-c", code], {}, timeout)


@pytest.fixture
def setup(tmp_path: Path) -> BenchSetup:
    config = load(None, ["bench.timeout_seconds=30"]).config
    return BenchSetup(config, {1000: str(tmp_path / "photos")}, tmp_path, tmp_path / "cache")


def pretend(monkeypatch: pytest.MonkeyPatch, code: str) -> None:
    """Replace `fruitscale run` by a script."""
    monkeypatch.setattr(measure, "command", lambda config: [sys.executable, "-c", code, str(config)])


def test_memory_and_cpu_of_the_whole_tree_are_measured() -> None:
    result = run_code(
        f"import subprocess, sys; print('out'); subprocess.run([sys.executable, '-c', {BUSY!r}], check=True)"
    )
    assert (result.code, result.out, result.timed_out) == (0, "out\n", False)
    assert 120 < result.peak_mb < 300
    assert result.cpu_seconds >= 0.5, "the child alone uses 0.6 s"
    assert result.seconds >= 1, "the child alone takes 1.1 s"


def test_a_timeout_stops_the_whole_process_tree() -> None:
    before = {p.pid for p in psutil.Process().children(recursive=True)}
    result = run_code("import subprocess, sys; subprocess.run(['sleep', '60'])", timeout=1)
    assert result.timed_out
    left = [p for p in psutil.Process().children(recursive=True) if p.pid not in before]
    assert not left


@pytest.mark.parametrize(
    ("code", "outcome", "words"),
    [
        pytest.param("import sys; print('Error: no such thing', file=sys.stderr); sys.exit(3)", "failed",
                     "exit code 3: no such thing", id="failed"),
        pytest.param("import sys; sys.exit(1)", "failed", "exit code 1: no error message", id="silent"),
        pytest.param("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "out of memory", "exit code -9", id="killed"),
        pytest.param("x = [0] * 10**15", "out of memory", "MemoryError", id="out-of-memory"),
    ],
)  # fmt: skip
def test_a_failing_variant_is_a_result(
    setup: BenchSetup, monkeypatch: pytest.MonkeyPatch, code: str, outcome: str, words: str
) -> None:
    pretend(monkeypatch, code)
    found = measure.measure(setup, LOCAL, "timed", 3)
    assert (found.outcome, found.seconds, found.answer, found.round) == (outcome, None, None, 3)
    assert words in found.message
    assert found.compared_seconds("process") is None
    assert list(setup.work.iterdir()) == [], "the run's files are removed"


def test_a_run_that_takes_too_long_is_a_result(setup: BenchSetup, monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(monkeypatch, "import time; time.sleep(60)")
    bench = setup.config.bench.model_copy(update={"timeout_seconds": 1.0})
    short = replace(setup, config=setup.config.model_copy(update={"bench": bench}))
    assert measure.measure(short, LOCAL, "timed").outcome == "timeout"


def test_a_cold_run_has_a_cache_of_its_own(setup: BenchSetup, monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(monkeypatch, "import os, sys; sys.exit('cache: ' + os.environ['XDG_CACHE_HOME'])")
    cold, warm = (measure.measure(setup, LOCAL, kind).message for kind in ("cold", "timed"))
    assert str(setup.cache) in warm
    assert str(setup.cache) not in cold


def test_the_configuration_of_a_run_is_the_variants(setup: BenchSetup, monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(monkeypatch, "import sys; sys.exit('config: ' + open(sys.argv[1]).read()[:250])")
    message = measure.measure(setup, Variant("dask", 3, 1000, "bf16"), "timed").message
    assert '"engine":"dask","slots":3' in message
    assert f'"uri":"{setup.photos[1000]}"' in message


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"featurized": 999, "rejected": 1}, "999 images and 1 rejects, expected 1,000 and 0"),
        ({"features_sha256": "other"}, "features differ from the reference"),
        ({"components": 51}, "51 components retain"),
        ({"retained_variance": 0.95 + 2e-9}, "retain 0.950000002000"),
        ({"retained_variance": float("nan")}, "retain nan"),
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
    """Replaces `measure`: records its calls and returns at once."""

    def __init__(self, broken: Variant | None = None, wrong: Variant | None = None, spread: float = 0.0) -> None:
        self.calls: list[tuple[Variant, str, int]] = []
        self._broken, self._wrong, self._spread = broken, wrong, spread

    def __call__(self, setup: BenchSetup, variant: Variant, kind: measure.Kind, number: int) -> Measurement:
        self.calls.append((variant, kind, number))
        if variant == self._broken:
            return failure(variant, kind=kind, round=number)
        answer = replace(ANSWER, features_sha256="other") if variant == self._wrong else ANSWER
        slow = 1 + self._spread * (len(self.calls) % 3)
        return sample(variant, 10 * slow, kind=kind, round=number, answer=answer)


def run_trial(setup: BenchSetup, plan: BenchPlan, machine: Machine) -> list[Measurement]:
    return Trial(plan, setup, lambda line: None, machine).run()


def test_references_then_cold_starts_then_rounds(setup: BenchSetup) -> None:
    machine = Machine()
    run_trial(setup, TWO, machine)
    assert [(v.engine, kind) for v, kind, _ in machine.calls[:3]] == [
        ("local", "reference"), ("local", "cold"), ("spark", "cold"),
    ]  # fmt: skip
    rounds = [number for _, kind, number in machine.calls if kind in ("timed", "twin")]
    assert rounds == sorted(n for n in range(1, 6) for _ in range(3)), "5 rounds are enough when nothing varies"


def test_only_the_first_variant_of_an_engine_starts_cold(setup: BenchSetup) -> None:
    machine = Machine()
    run_trial(setup, make_plan(Bench(engines=("local",), slots=(1, 2), repeats=1), 2), machine)
    assert [kind for _, kind, number in machine.calls if number == 0] == ["reference", "cold", "warm-up"]


def test_noisy_pairs_continue_to_the_maximum(setup: BenchSetup) -> None:
    samples = run_trial(setup, TWO, Machine(spread=0.3))
    assert max(s.round for s in samples) == 6


def test_a_variant_that_fails_at_first_is_not_run_again(setup: BenchSetup) -> None:
    machine = Machine(broken=SPARK)
    samples = run_trial(setup, TWO, machine)
    assert sum(variant == SPARK for variant, _, _ in machine.calls) == 1
    assert sum(s.variant == LOCAL and s.kind == "timed" for s in samples) == 5


def test_a_wrong_result_is_never_in_a_pair(setup: BenchSetup) -> None:
    samples = run_trial(setup, TWO, Machine(wrong=SPARK))
    assert {s.outcome for s in samples if s.variant == SPARK} == {"wrong answer"}
    pair = next(c for c in TWO.comparisons if not c.is_floor)
    assert ratio_of(pair, samples, "process", 0) is None


def test_others_go_on_without_their_baseline(setup: BenchSetup) -> None:
    plan = make_plan(Bench(engines=("local", "spark", "dask"), reference="dask"), 2)
    samples = run_trial(setup, plan, Machine(broken=LOCAL))
    assert {s.round for s in samples if s.variant in (SPARK, DASK) and s.kind == "timed"} == {1, 2, 3, 4, 5}


def test_a_settled_comparison_is_not_run_again() -> None:
    plan = make_plan(Bench(engines=("local", "spark", "dask")), 2)
    samples = []
    for n in range(1, 6):
        samples += [
            sample(SPARK, 9.0, round=n),
            sample(LOCAL, 10.0, round=n),
            sample(LOCAL, 10.0, round=n, kind="twin"),
        ]
        samples.append(sample(DASK, 9.0 + n, round=n))
    assert set(next_round(plan, samples, "process")) == {RoundEntry(DASK), RoundEntry(LOCAL)}
