"""A real YARN on loopback: a ResourceManager and NodeManagers as processes, from the jars that pom.xml names.

The jars (95 MB) are fetched once by Maven, into FRUITSCALE_YARN_JARS or a folder of the cache.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest

from fruitscale import processes
from fruitscale.config.cache_folder import cache_folder
from fruitscale.engines.java import find_java
from fruitscale.errors import EngineError
from tests.s3.servers import free_ports

POM = Path(__file__).with_name("pom.xml")
SPARK = "3.5.6"
"""The Spark whose Java also runs Hadoop 3.3: 8 to 17."""
JAVA = 17
FETCH_SECONDS, START_SECONDS = 500, 120
LIGHT = ("-Xmx256m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC")
OPENED = tuple(f"--add-opens=java.base/java.{name}=ALL-UNNAMED" for name in ("lang", "util", "net", "io", "nio"))
SERVER = "org.apache.hadoop.yarn.server"
MANAGER, NODE = f"{SERVER}.resourcemanager.ResourceManager", f"{SERVER}.nodemanager.NodeManager"
READ = "+dac_read_search"
OTHER_USER = (
    "setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups", f"--inh-caps={READ}", f"--ambient-caps={READ}",
    "env", "--unset=HOME",
)  # fmt: skip
"""Another user, who can read this Python even below /root, and write only where everybody can."""


def missing() -> str | None:
    """Return what this machine lacks to run YARN; None if nothing."""
    if shutil.which("mvn") is None:
        return "needs Maven: apt-get install maven"
    try:
        found = find_java(SPARK)
    except EngineError as error:
        return f"needs Java 17: {error.message}"
    return (
        None if found.version == JAVA else f"needs Java 17, and Java is {found.version}"
    )  # of Hadoop 3.3 and of Spark 4


def jars() -> Path:
    """Return the folder of the jars, fetched on first use."""
    folder = Path(os.environ.get("FRUITSCALE_YARN_JARS") or cache_folder() / "yarn-jars")
    if not (folder / "complete").exists():
        command = ["mvn", "-B", "-q", "-f", str(POM), "dependency:copy-dependencies", f"-DoutputDirectory={folder}"]
        done = subprocess.run(
            command, check=False, timeout=FETCH_SECONDS, stdin=subprocess.DEVNULL, capture_output=True
        )
        if done.returncode != 0:
            pytest.skip(f"Maven can't fetch YARN's jars: {done.stdout.decode()[-300:]}")
        (folder / "complete").touch()
    return folder


def as_other_user() -> tuple[str, ...]:
    """Return the words before a command that run it as a user without HOME; none where that is not possible."""
    if os.geteuid() != 0 or shutil.which("setpriv") is None:
        return ()
    done = subprocess.run([*OTHER_USER, "true"], check=False, capture_output=True)
    return OTHER_USER if done.returncode == 0 else ()


@dataclass
class Yarn:
    """A running YARN: the folder with its settings, its nodes, and its pages."""

    folder: Path
    url: str
    nodes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def settings(self) -> Path:
        """The value of HADOOP_CONF_DIR."""
        return self.folder / "conf"

    def ask(self, path: str) -> Any:
        """Return an answer of the ResourceManager's REST API."""
        with urlopen(f"{self.url}/ws/v1/cluster/{path}", timeout=10) as answer:
            return json.loads(answer.read())

    def running_nodes(self) -> int:
        return sum(node["state"] == "RUNNING" for node in _items(self.ask("nodes")["nodes"]))

    def applications(self) -> dict[str, str]:
        """Return the state of each application, oldest first, from the log: the answers of the shaded jars lack them."""
        text = (self.folder / "manager.log").read_text(errors="replace")
        return dict(re.findall(r"(application_\d+_\d+) State change from \w+ to (\w+)", text))

    def executors(self, number: int | None = None) -> list[int]:
        """Return the process ids of Spark executors, of all nodes or of one."""
        place = self.folder / ("" if number is None else f"node-{number}")
        return [pid for pid, line in _commands(str(place)) if "ExecutorBackend" in line and "/java" in line.split()[0]]

    def masters(self, number: int) -> list[int]:
        """Return the process ids of application masters on a node."""
        place = self.folder / f"node-{number}"
        return [pid for pid, line in _commands(str(place)) if "ExecutorLauncher" in line and "/java" in line.split()[0]]

    def kill(self, application: str) -> None:
        """Kill an application, as `yarn application -kill` does."""
        main = ["org.apache.hadoop.yarn.client.cli.ApplicationCLI", "application", "-kill", application]
        command = [*as_other_user(), *_java(find_java(SPARK).home, self.settings), *main]
        subprocess.run(command, check=True, capture_output=True, timeout=120)

    def kill_node(self, number: int) -> None:
        """Kill a node and its containers with SIGKILL, as if its machine were lost."""
        processes.stop(self.nodes[number])
        self._end_containers(f"node-{number}")

    def log(self) -> str:
        """Return the end of every log: the daemons', and the containers'."""
        found = [*self.folder.glob("*.log"), *self.folder.glob("node-*/logs/*/*/stderr")]
        return "".join(f"--- {path}\n{path.read_text(errors='replace')[-2000:]}" for path in found)

    def _end_containers(self, place: str = "") -> None:
        for pid, _ in _commands(str(self.folder / place)):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


@contextmanager
def yarn_cluster(folder: Path, nodes: int = 2, node_mb: int = 4096, node_cores: int = 5) -> Iterator[Yarn]:
    """Start YARN in an empty folder that every user can enter."""
    home = find_java(SPARK).home
    ports = free_ports(5 + 3 * nodes)
    shared = _settings(ports[:5], node_mb, node_cores)
    yarn = Yarn(folder, f"http://127.0.0.1:{ports[4]}")
    yarn.settings.mkdir(parents=True)
    _write(yarn.settings, shared)
    with ExitStack() as held:
        held.callback(yarn._end_containers)

        def start(main: str, name: str, settings: Path) -> subprocess.Popen[bytes]:
            java = [*_java(home, settings), main]
            variables = {
                "JAVA_HOME": str(home), "SPARK_LOCAL_IP": "127.0.0.1", "YARN_CONF_DIR": str(settings),
                "HADOOP_CONF_DIR": str(settings),
            }  # fmt: skip
            with (folder / f"{name}.log").open("ab") as log:
                child = processes.start(
                    "fruitscale.bench.local_clusters", [*as_other_user(), *java], output=log, environment=variables
                )
            held.callback(processes.stop, child)
            return child

        start(MANAGER, "manager", yarn.settings)
        for number in range(nodes):
            mine = folder / f"conf-{number}"
            mine.mkdir()
            _write(mine, shared | _node_settings(folder / f"node-{number}", ports[5 + 3 * number :][:3]))
            yarn.nodes.append(start(NODE, f"node-{number}", mine))
        _await(lambda: yarn.running_nodes() == nodes, yarn)
        yield yarn


def _java(home: Path, settings: Path) -> list[str]:
    return [str(home / "bin" / "java"), *LIGHT, *OPENED, "-cp", f"{settings}:{jars()}/*"]


def _settings(ports: Sequence[int], node_mb: int, node_cores: int) -> dict[str, object]:
    """Return yarn-site.xml: EMR's where it matters, small otherwise."""
    names = ("address", "scheduler.address", "resource-tracker.address", "admin.address", "webapp.address")
    return {
        **{f"yarn.resourcemanager.{name}": f"127.0.0.1:{port}" for name, port in zip(names, ports, strict=True)},
        "yarn.resourcemanager.bind-host": "127.0.0.1",
        "yarn.scheduler.minimum-allocation-mb": 32,
        "yarn.scheduler.maximum-allocation-mb": node_mb,
        "yarn.scheduler.maximum-allocation-vcores": node_cores,
        "yarn.scheduler.include-port-in-node-name": "true",
        "yarn.nodemanager.resource.memory-mb": node_mb,
        "yarn.nodemanager.resource.cpu-vcores": node_cores,
        "yarn.nodemanager.vmem-check-enabled": "false",
        "yarn.nodemanager.pmem-check-enabled": "true",
        "yarn.nodemanager.container-monitor.interval-ms": 500,
        "yarn.nodemanager.disk-health-checker.max-disk-utilization-per-disk-percentage": 100,
        "yarn.nodemanager.env-whitelist": "JAVA_HOME,SPARK_LOCAL_IP",
        "yarn.resourcemanager.nm.liveness-monitor.interval-ms": 1000,
        "yarn.nm.liveness-monitor.expiry-interval-ms": 10_000,
    }


def _node_settings(place: Path, ports: Sequence[int]) -> dict[str, object]:
    for name in ("local", "logs"):
        (place / name).mkdir(parents=True)
        (place / name).chmod(0o777)
    names = ("address", "localizer.address", "webapp.address")
    return {
        **{f"yarn.nodemanager.{name}": f"127.0.0.1:{port}" for name, port in zip(names, ports, strict=True)},
        "yarn.nodemanager.local-dirs": place / "local",
        "yarn.nodemanager.log-dirs": place / "logs",
    }


def _write(folder: Path, yarn_site: Mapping[str, object]) -> None:
    core = {"fs.defaultFS": "file:///", "hadoop.tmp.dir": "/tmp/hadoop-${user.name}"}
    queue = {
        "yarn.scheduler.capacity.root.queues": "default",
        "yarn.scheduler.capacity.root.default.capacity": 100,
        "yarn.scheduler.capacity.maximum-am-resource-percent": 1,
        "yarn.scheduler.capacity.resource-calculator": "org.apache.hadoop.yarn.util.resource.DominantResourceCalculator",
    }
    for name, values in (("core-site", core), ("yarn-site", yarn_site), ("capacity-scheduler", queue)):
        rows = "".join(f"<property><name>{k}</name><value>{v}</value></property>\n" for k, v in values.items())
        (folder / f"{name}.xml").write_text(f"<configuration>\n{rows}</configuration>\n")
    (folder / "log4j.properties").write_text(
        "log4j.rootLogger=INFO,console\nlog4j.appender.console=org.apache.log4j.ConsoleAppender\n"
        "log4j.appender.console.layout=org.apache.log4j.PatternLayout\n"
        "log4j.appender.console.layout.ConversionPattern=%d{ISO8601} %p %c{1}: %m%n\n"
    )


def _items(answer: Any) -> list[dict[str, Any]]:
    """Return the items of a list in an answer, which is nested, and missing where it is empty."""
    inner = next(iter(answer.values()), []) if isinstance(answer, dict) else answer
    return list(inner or [])


def _commands(word: str) -> Iterator[tuple[int, str]]:
    """Yield the id and command line of every process that names a folder, except this cluster's own daemons."""
    for entry in Path("/proc").iterdir():
        if re.fullmatch(r"\d+", entry.name) and int(entry.name) != os.getpid():
            with suppress(OSError):
                line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                if word in line and SERVER not in line:
                    yield int(entry.name), line


def _await(condition: Callable[[], bool], yarn: Yarn) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        with suppress(OSError):
            if condition():
                return
        if time.monotonic() > deadline:
            raise AssertionError(f"YARN did not start:\n{yarn.log()}")
        time.sleep(0.3)
