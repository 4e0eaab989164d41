"""The script of an audit's remedies: valid shell, in which only AWS commands of failed settings are not comments."""

from __future__ import annotations

import shlex
import subprocess
from pathlib import Path

import pytest

from fruitscale.gdpr.findings import Audit, AuditFinding, AuditVerdict, command
from fruitscale.gdpr.remedy_script import script


def active(verdict: AuditVerdict, remedy: str, subject: str = "s3://bucket") -> list[str]:
    finding = AuditFinding(subject, "region", verdict, "found", ("17",), (), remedy)
    text = script(Audit("2026-01-02T03:04:05Z", "1.2.3", True, (), (finding,)))
    return [line for line in text.splitlines() if line and not line.startswith("#")]


def test_a_failed_settings_command_is_written_as_it_is() -> None:
    remedy = command("s3api", "put-bucket-policy", "--policy", '{"a": "it\'s $(touch x); `y`"}')
    assert active(AuditVerdict.FAIL, remedy) == ["set -eu", remedy]
    assert active(AuditVerdict.UNKNOWN, remedy) == active(AuditVerdict.PASS, remedy) == ["set -eu"]


@pytest.mark.parametrize(
    "remedy",
    [
        "--set storage.region=eu-west-3",
        "aws s3 ls <bucket>",
        "aws x; rm y",
        "aws x && y",
        "aws x `y`",
        "aws 'x",
        "aws x\nrm y",
    ],
)
def test_all_else_is_a_comment(remedy: str) -> None:
    assert active(AuditVerdict.FAIL, remedy) == ["set -eu"]


def test_names_cannot_leave_their_comment(tmp_path: Path) -> None:
    hostile = f"s3://x\ntouch {shlex.quote(str(tmp_path))}/made\u2028\r"
    assert active(AuditVerdict.FAIL, command("s3api", "x"), hostile) == ["set -eu", "aws s3api x"]


def test_the_script_is_valid_shell() -> None:
    finding = AuditFinding("a", "b", AuditVerdict.FAIL, "c", (), (), command("s3api", "x", "it's"))
    text = script(Audit("now", "1", True, (), (finding,)))
    subprocess.run(["/bin/sh", "-n"], input=text, text=True, check=True)
