"""The documents are true: their links lead somewhere, and their commands do what they say, as written."""

from __future__ import annotations

import re
import shutil
import subprocess
from fnmatch import fnmatch
from pathlib import Path

import pytest

from tests.cloud.agent import Agent
from tests.cloud.docs.blocks import DOCUMENTS, blocks_of, commands_of, links_of
from tests.cloud.simulated_account import Account
from tests.conftest import ROOT

ELSEWHERE = {
    "make install": "the workplace is what it leaves; .ci/run and every fresh clone run it",
    "make test": "this is a part of it",
    "make lint": ".ci/run runs it",
    "fruitscale cluster setup --config my-emr.yaml --apply": "it asks; tests/cloud/test_setup.py runs it",
    "fruitscale cluster setup --config my-ec2.yaml --apply": "it asks; tests/cloud/test_setup.py runs it",
    'fruitscale cluster schedule --config my-emr.yaml --cron "0 2 * * *" --timezone Europe/Paris --apply': (
        "it asks; tests/cloud/test_schedule.py runs it"
    ),
    "aws ec2 create-tags --resources subnet-… vpc-… --tags Key=for-use-with-amazon-emr-managed-policies,Value=true": (
        "the ids are placeholders"
    ),
}
"""Commands that are not run here, and why."""
PEERS = ("make bench-peers", ".venv/bin/python -m benchmarks.peers")
"""These install other tools, 4 GB of them: their harness is run with our own side of it (tests/unit/test_peers.py)."""
FAILS = {"fruitscale gdpr audit --config run.yaml --markdown > annex.md": 1}
"""Exit codes that are right: the account has none of what an audit asks for."""
SESSION = """
from pyspark.sql import SparkSession
spark = SparkSession.builder.master("local[1]").config("spark.ui.enabled", "false").getOrCreate()
"""
NAMES = [str(path.relative_to(ROOT)) for path in DOCUMENTS]
WITH_COMMANDS = [name for name in NAMES if commands_of(ROOT / name)]
QUICK = ("docs/iam.md", "docs/gdpr.md")


@pytest.mark.parametrize("name", NAMES)
def test_links_lead_somewhere(name: str) -> None:
    document = ROOT / name
    missing = [link for link in links_of(document) if not (document.parent / link).exists()]
    assert missing == []


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=[] if n in QUICK else [pytest.mark.slow]) for n in WITH_COMMANDS]
)
@pytest.mark.usefixtures("nothing_left")
def test_commands_do_what_they_say(
    name: str, workplace: Path, environment: dict[str, str], account: Account, local_run: Path
) -> None:
    record = (local_run / "run.json").read_bytes()
    if any("sample photos" in command for command in commands_of(ROOT / name)):
        shutil.rmtree(workplace / "photos")  # the document draws its own
    for command in commands_of(ROOT / name):
        if command in ELSEWHERE or command.startswith(PEERS):
            continue
        with Agent(account, record=record):  # plays the machines of a launch, where the command is one
            done = run(command, workplace, environment)
        assert done.returncode == FAILS.get(command, 0), f"{command}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
        assert "Traceback" not in done.stderr
        account.proxy.clear()


def run(command: str, workplace: Path, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", "-c", command], cwd=workplace, env=environment, stdin=subprocess.DEVNULL, capture_output=True,
        text=True, timeout=900, check=False,
    )  # fmt: skip


WITH_CODE = [name for name in NAMES if any(block.language == "python" for block in blocks_of(ROOT / name))]


@pytest.mark.slow
@pytest.mark.parametrize("name", WITH_CODE)
def test_code_runs(name: str, workplace: Path, environment: dict[str, str]) -> None:
    first = "fruitscale run --config configs/quickstart.yaml --engine local -i photos -o runs/first --set report=false"
    assert run(first, workplace, environment).returncode == 0
    for block in blocks_of(ROOT / name):
        if block.language == "python":
            shown = "" if "features" not in block.text else "features.first()\n"  # what is lazy is computed
            (workplace / "shown.py").write_text(f"{SESSION if 'spark.' in block.text else ''}{block.text}{shown}")
            done = run(".venv/bin/python shown.py", workplace, environment)
            assert done.returncode == 0, f"line {block.line}\n{done.stderr[-4000:]}"


def test_the_architecture_lists_every_module() -> None:
    names = re.findall(r"`([\w*]+)`", (ROOT / "docs" / "architecture.md").read_text())
    patterns = [name.replace("VERB", "*") for name in names]
    modules = [path.stem for path in (ROOT / "fruitscale").rglob("*.py") if path.name != "__init__.py"]
    assert [module for module in modules if not any(fnmatch(module, pattern) for pattern in patterns)] == []


def test_what_is_not_run_is_still_shown() -> None:
    shown = {command for name in NAMES for command in commands_of(ROOT / name)}
    assert set(ELSEWHERE) | set(FAILS) <= shown
