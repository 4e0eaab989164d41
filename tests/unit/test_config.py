"""The configuration: precedence, error messages, and the files in configs/."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from fruitscale.config.cluster_section import Emr, Prices
from fruitscale.config.loading import from_mapping, json_schema, leaves, load, parse_assignment
from fruitscale.config.schema import Config
from fruitscale.errors import UsageError

CONFIGS = sorted((Path(__file__).parents[2] / "configs").glob("*.yaml"))
KEYS = [key for key, _ in leaves(Config().model_dump())]


def value_of(config: Config, dotted: str) -> Any:
    value: Any = config
    for part in dotted.split("."):
        value = getattr(value, part)
    return value


def write(folder: Path, text: str) -> Path:
    path = folder / "config.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def refusal(*sets: str) -> str:
    """Return the lines about wrong assignments, without the sentence before them and the sources."""
    with pytest.raises(UsageError) as caught:
        load(None, sets)
    assert caught.value.exit_code == 2
    assert caught.value.hint is not None
    lines = caught.value.message.splitlines()[1:]
    return "\n".join(re.sub(r" \(from --set [\w.]+\)$", "", line.strip()) for line in lines)


@pytest.mark.parametrize(
    ("file", "sets", "flags", "expected", "source"),
    [
        pytest.param("", [], {}, "spark", "default", id="default"),
        pytest.param("engine: dask", [], {}, "dask", "FILE", id="file-beats-default"),
        pytest.param("engine: dask", ["engine=local"], {}, "local", "--set engine", id="set-beats-file"),
        pytest.param("engine: dask", ["engine=local"], {"engine": "spark"}, "spark", "--engine", id="flag-beats-all"),
        pytest.param("engine: dask", [], {"engine": "local"}, "local", "--engine", id="flag-beats-file"),
        pytest.param("", ["engine=dask"], {"engine": "local"}, "local", "--engine", id="flag-beats-set"),
        pytest.param("engine: dask", [], {"engine": None}, "dask", "FILE", id="a-flag-not-given-is-none"),
        pytest.param("", ["engine=dask", "engine=local"], {}, "local", "--set engine", id="the-last-set-wins"),
        pytest.param("engine: spark", [], {}, "spark", "FILE", id="set-to-the-default"),
        pytest.param("engine: 7", ["engine=dask"], {}, "dask", "--set engine", id="a-wrong-value-that-is-overridden"),
    ],
)
def test_precedence(
    tmp_path: Path, file: str, sets: list[str], flags: dict[str, object], expected: str, source: str
) -> None:
    path = write(tmp_path, file)
    loaded = load(path, sets, flags)
    assert loaded.config.engine == expected
    assert loaded.sources["engine"] == (str(path) if source == "FILE" else source)


def test_each_key_has_its_own_source(tmp_path: Path) -> None:
    path = write(tmp_path, "input: {uri: from-file, limit: 3}\npca: {components: 7}\n")
    loaded = load(path, ["input.limit=5", "output={paths: hashed}"], {"output.uri": "out", "output.overwrite": True})
    expected = {key: source for key, source in loaded.sources.items() if source != "default"}
    assert expected == {
        "input.uri": str(path),
        "pca.components": str(path),
        "input.limit": "--set input.limit",
        "output.paths": "--set output",
        "output.uri": "--output",
        "output.overwrite": "--overwrite",
    }
    assert set(loaded.sources) == set(KEYS)
    assert (loaded.config.input.uri, loaded.config.input.limit, loaded.config.pca.components) == ("from-file", 5, 7)
    assert loaded.config.output.model_dump() == {"uri": "out", "overwrite": True, "keep_old": True, "paths": "hashed"}


def test_a_mapping_that_is_set_keeps_its_neighbours(tmp_path: Path) -> None:
    loaded = load(write(tmp_path, "input: {uri: there}"), ["input={limit: 5}"])
    assert (loaded.config.input.uri, loaded.config.input.limit) == ("there", 5)


def test_a_section_that_is_set_to_nothing_is_the_defaults(tmp_path: Path) -> None:
    loaded = load(write(tmp_path, "input: {uri: there, limit: 3}"), ["input={}"])
    assert loaded.config == Config()
    assert {key: source for key, source in loaded.sources.items() if key.startswith("input")} == {
        "input": "--set input"
    }


@pytest.mark.parametrize(
    ("file", "sets", "expected"),
    [
        pytest.param("", ["spark.conf.spark.ui.enabled=false"], {"spark.ui.enabled": "false"}, id="dots-and-booleans"),
        pytest.param(
            "spark: {conf: {spark.a: 1}}", ["spark.conf.spark.b=2g"], {"spark.a": "1", "spark.b": "2g"}, id="added"
        ),
        pytest.param("spark: {conf: {spark.a: 1}}", ["spark.conf.spark.a=2"], {"spark.a": "2"}, id="replaced"),
        pytest.param("spark: {conf: {spark.a: 1}}", ["spark.conf={spark.b: 2}"], {"spark.b": "2"}, id="all-replaced"),
        pytest.param("spark: {conf: null}", ["spark.conf.spark.a=1"], {"spark.a": "1"}, id="on-null"),
        pytest.param("spark: {conf: 3}", ["spark.conf.spark.a=1"], {"spark.a": "1"}, id="on-a-wrong-value"),
    ],
)
def test_spark_conf(tmp_path: Path, file: str, sets: list[str], expected: dict[str, str]) -> None:
    assert load(write(tmp_path, file), sets).config.spark.conf == expected


def test_cluster_keys_are_the_clusters_own(tmp_path: Path) -> None:
    path = write(tmp_path, "cluster: {kind: emr, core: 2, tags: {team: fruit}}")
    cluster = load(path, ["cluster.core=3", "cluster.prices.machine_hour={m5.xlarge: 0.2}"]).config.cluster
    assert isinstance(cluster, Emr)
    assert (cluster.core, cluster.tags, cluster.prices.machine_hour) == (3, {"team": "fruit"}, {"m5.xlarge": 0.2})


@pytest.mark.parametrize(
    ("sets", "message"),
    [
        pytest.param(
            ["cluster={}"], "cluster.kind: must be 'emr', 'emr-serverless' or 'ec2-dask', got nothing", id="no-kind"
        ),
        pytest.param(
            ["cluster.kind=aks"],
            "cluster.kind: must be 'emr', 'emr-serverless' or 'ec2-dask', got 'aks'",
            id="no-such-kind",
        ),
        pytest.param(
            ["cluster={kind: emr, corre: 3}"],
            "cluster.corre: no such key; did you mean cluster.core?",
            id="no-such-key",
        ),
        pytest.param(["cluster={kind: ec2-dask, core: 3}"], "cluster.core: no such key; ", id="of-another-kind"),
        pytest.param(
            ["cluster={kind: emr, core: 0}"],
            "cluster.core: must be at least 1, got 0",
            id="no-machines",
        ),
        pytest.param(
            ["cluster={kind: emr, max_hours: 0}"],
            "cluster.max_hours: must be greater than 0, got 0",
            id="no-time",
        ),
        pytest.param(
            ["cluster={kind: emr, prices: {spot_fraction: 2}}"],
            "cluster.prices.spot_fraction: must be at most 1, got 2",
            id="inside-prices",
        ),
    ],
)
def test_a_wrong_cluster_is_named_by_its_key(sets: list[str], message: str) -> None:
    assert refusal(*sets).startswith(message)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("a.b=50", ("a.b", 50), id="int"),
        pytest.param(" a.b = 0.5", ("a.b", 0.5), id="spaces"),
        pytest.param("a=[x, y]", ("a", ["x", "y"]), id="list"),
        pytest.param("a=", ("a", None), id="nothing-is-null"),
        pytest.param("a=null", ("a", None), id="null"),
        pytest.param("a=b=c", ("a", "b=c"), id="the-first-equals"),
        pytest.param("a=[x", ("a", "[x"), id="no-yaml-is-text"),
        pytest.param("a=2024-13-45", ("a", "2024-13-45"), id="no-date-is-text"),
    ],
)
def test_an_assignment(text: str, expected: tuple[str, object]) -> None:
    assert parse_assignment(text) == expected


@pytest.mark.parametrize("text", ["", "engine", "=local", " =x"])
def test_no_assignment(text: str) -> None:
    with pytest.raises(UsageError, match=re.escape(f"--set {text}: expected KEY=VALUE.")):
        load(None, [text])


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        pytest.param("modle", "modle: no such key; did you mean model?", id="section"),
        pytest.param("enginee", "enginee: no such key; did you mean engine?", id="at-the-top"),
        pytest.param("pca.componets", "pca.componets: no such key; did you mean pca.components?", id="in-a-section"),
        pytest.param("input.labels", "input.labels: no such key; did you mean input.label?", id="plural"),
        pytest.param("gdpr.xyz", "gdpr.xyz: no such key; valid keys: enforce", id="nothing-near"),
        pytest.param("engine.x", "engine: must be 'local', 'spark' or 'dask', got {'x': 1}", id="too-deep"),
    ],
)
def test_unknown_keys_name_the_nearest(key: str, expected: str) -> None:
    assert refusal(f"{key}=1") == expected


AT_LEAST_1 = "at least 1"
COUNT_OR_FRACTION = "a whole number from 1 on, or a fraction between 0 and 1 (both excluded)"
WHOLE = "a whole number"
NUMBER = "a number"
TEXT_VALUE = "text"
TRUE_OR_FALSE = "true or false"
AUTO = "'auto'"
FINITE = "a finite number"
ARCHITECTURES = (
    "one of 43 names, such as 'resnet50', 'resnet152' or 'resnet50_v2' (`fruitscale config schema` lists them)"
)
WRONG: list[tuple[str, str, tuple[str, ...]]] = [
    ("engine", "coiled", ("'local', 'spark' or 'dask'",)),
    ("slots", "0", (AUTO, AT_LEAST_1)),
    ("slots", "1.5", (AUTO, WHOLE)),
    ("slots", "true", (AUTO, WHOLE)),
    ("input.uri", "null", (TEXT_VALUE,)),
    ("input.uri", "3", (TEXT_VALUE,)),
    ("input.list", "[a]", (TEXT_VALUE,)),
    ("input.include", "text", ("a list",)),
    ("input.label", "folder", ("'parent', 'path' or 'none'",)),
    ("input.limit", "0", (AT_LEAST_1,)),
    ("input.limit", "'3'", (WHOLE,)),
    ("input.limit", str(2**63), ("at most 9223372036854775807",)),
    ("output.uri", "null", (TEXT_VALUE,)),
    ("output.overwrite", "1", (TRUE_OR_FALSE,)),
    ("output.overwrite", "'yes'", (TRUE_OR_FALSE,)),
    ("output.paths", "encrypted", ("'plain' or 'hashed'",)),
    ("shards.images", "-1", (AUTO, AT_LEAST_1)),
    ("shards.images", "many", (AUTO, WHOLE)),
    ("images.on_error", "ignore", ("'reject' or 'fail'",)),
    ("images.max_reject_fraction", "1.01", ("at most 1",)),
    ("images.max_reject_fraction", "-0.1", ("at least 0",)),
    ("images.max_reject_fraction", "true", (NUMBER,)),
    ("images.max_reject_fraction", "'0.5'", (NUMBER,)),
    ("images.allowed_rejects", "-1", ("at least 0",)),
    ("images.max_pixels", "1e8", (WHOLE,)),
    ("images.max_decode_mb", "0", (AT_LEAST_1,)),
    ("images.max_bytes", "0", ("at least 1",)),
    ("images.max_seconds", "0", ("at least 1",)),
    ("worker_timeout_seconds", "0", ("greater than 0",)),
    ("images.exif_orientation", "true", ("'apply' or 'ignore'",)),
    ("model.architecture", "resnet5", (ARCHITECTURES,)),
    ("model.weights", "''", ("text with at least 1 character",)),
    ("model.seed", "-1", ("at least 0",)),
    ("model.seed", str(2**32), ("less than 4294967296",)),
    ("model.input_size", "31", ("at least 32",)),
    ("model.input_size", "2049", ("at most 2048",)),
    ("model.runtime", "torch", ("'openvino' or 'tensorflow'",)),
    ("model.precision", "f16", ("'f32', 'bf16' or 'int8'",)),
    ("model.exported", "5", (TEXT_VALUE,)),
    ("model.file", "mine.onnx", ("null without architecture: file",)),
    ("model.preprocess.preset", "siglip", ("'none', 'imagenet', 'clip', 'dinov2' or 'inception'",)),
    ("model.preprocess.keep", "1.5", ("at most 1",)),
    ("model.preprocess.mean", "0.5", ("a list",)),
    ("model.output.pooling", "max", ("'none', 'avg' or 'cls'",)),
    ("model.output.l2", "1", (TRUE_OR_FALSE,)),
    ("pca.components", "0", (COUNT_OR_FRACTION,)),
    ("pca.components", "-3", (COUNT_OR_FRACTION,)),
    ("pca.components", "1.0", (COUNT_OR_FRACTION,)),
    ("pca.components", "0.0", (COUNT_OR_FRACTION,)),
    ("pca.components", "1.5", (COUNT_OR_FRACTION,)),
    ("pca.components", "true", (COUNT_OR_FRACTION,)),
    ("pca.components", ".nan", (COUNT_OR_FRACTION,)),
    ("pca.components", "null", (COUNT_OR_FRACTION,)),
    ("pca.components", "'5'", (COUNT_OR_FRACTION,)),
    ("pca.standardize", "0", (TRUE_OR_FALSE,)),
    ("spark.master", "3", (TEXT_VALUE,)),
    ("spark.conf", "text", ("a mapping of keys to values",)),
    ("dask.scheduler", "8786", (TEXT_VALUE,)),
    ("storage.path_style", "maybe", (AUTO, TRUE_OR_FALSE)),
    ("storage.allowed_regions", "eu-west-1", ("a list",)),
    ("storage.residency", "trusted", ("'checked' or 'declared'",)),
    ("storage.encryption", "aes", ("'sse-s3' or 'sse-kms'",)),
    ("storage.concurrency", "0", (AT_LEAST_1,)),
    ("storage.timeout_seconds", "0", ("greater than 0",)),
    ("storage.timeout_seconds", ".inf", (FINITE,)),
    ("storage.retry_seconds", "-1", ("at least 0",)),
    ("storage.retry_seconds", ".nan", (FINITE,)),
    ("gdpr.enforce", "null", (TRUE_OR_FALSE,)),
    ("cluster", "emr", ("a mapping of keys to values",)),
    ("bench.price_per_core_hour", "-0.01", ("at least 0",)),
    ("report", "1", (TRUE_OR_FALSE,)),
]


@pytest.mark.parametrize(("key", "text", "expected"), WRONG, ids=[f"{key}={text}" for key, text, _ in WRONG])
def test_a_wrong_value_is_named_by_its_key(key: str, text: str, expected: tuple[str, ...]) -> None:
    value = yaml.safe_load(text)
    shown = text if value is None or isinstance(value, bool) else repr(value)
    said = refusal(f"{key}={text}").removesuffix(" (YAML reads it as text: leave out quotes, and write 1e9 as 1.0e+9)")
    *first, last = expected
    allowed = f"{', '.join(first)}{', ' if ' or ' in last else ' or '}{last}" if first else last
    assert said == f"{key}: must be {allowed}, got {shown}"


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("bench.engines=[flink]", "bench.engines: must be 'local', 'spark' or 'dask', got 'flink'"),
        ("bench.images=[0]", "bench.images: must be at least 1, got 0"),
        ("storage.path_style=1", "storage.path_style: must be 'auto', true or false, got 1"),
        ("model.weights=2026-01-01", "model.weights: must be text, got the date 2026-01-01 (in quotes, it is text)"),
        ("cluster={kind: emr, tags: {a: 1}}", "cluster.tags.a: must be text, got 1"),
        ("cluster={kind: emr, prices: {emr_hour: {a: x}}}", "cluster.prices.emr_hour.a: must be a number, got 'x'"),
        ("spark.conf={a: [b]}", "spark.conf: must be one text, number, true or false for each setting (a has several)"),
    ],
)
def test_a_wrong_value_is_described_once_and_in_the_words_of_yaml(setting: str, message: str) -> None:
    said = refusal(setting)
    assert said.startswith(message)
    assert "\n" not in said


@pytest.mark.parametrize(
    ("key", "text"),
    [
        ("pca.components", "1"),
        ("pca.components", "0.999"),
        ("images.max_reject_fraction", "0"),
        ("images.max_reject_fraction", "1"),
        ("images.allowed_rejects", "0"),
        ("storage.retry_seconds", "0"),
        ("storage.path_style", "true"),
        ("slots", "auto"),
        ("input.limit", "null"),
        ("model.input_size", "32"),
        ("model.seed", str(2**32 - 1)),
    ],
)
def test_a_value_at_the_edge_is_taken(key: str, text: str) -> None:
    assert value_of(load(None, [f"{key}={text}"]).config, key) == yaml.safe_load(text)


def test_every_problem_is_in_one_message() -> None:
    assert refusal("modle=1", "pca.components=0", "report=3").splitlines() == [
        f"pca.components: must be {COUNT_OR_FRACTION}, got 0",
        f"report: must be {TRUE_OR_FALSE}, got 3",
        "modle: no such key; did you mean model?",
    ]


def test_a_problem_names_the_source_of_its_value(tmp_path: Path) -> None:
    path = write(tmp_path, "report: 3\ninput: {limit: 0}\nslots: auto\n")
    with pytest.raises(UsageError) as caught:
        load(path, ["input.limit=-1"], {"engine": "coiled"})
    assert caught.value.message.splitlines() == [
        "The configuration can't be used:",
        "  engine: must be 'local', 'spark' or 'dask', got 'coiled' (from --engine)",
        f"  input.limit: must be {AT_LEAST_1}, got -1 (from --set input.limit)",
        f"  report: must be {TRUE_OR_FALSE}, got 3 (from {path})",
    ]


@pytest.mark.parametrize(
    ("assignment", "expected"),
    [
        pytest.param(f"images.max_pixels=0x{'f' * 5000}", "got a very large number", id="5000-hex-digits"),
        pytest.param(f"images.max_pixels={'9' * 5000}", f"got '{'9' * 199}…", id="5000-digits"),
        pytest.param(f"engine={'[' * 1000}", f"got '{'[' * 199}…", id="1000-brackets"),
        pytest.param("input.uri=\udcff", "can't encode character '\\udcff'", id="not-utf-8"),
    ],
)
def test_a_monstrous_value_is_refused_shortly(assignment: str, expected: str) -> None:
    message = refusal(assignment)
    assert expected in message
    assert len(message) < 400


def test_python_users_give_mappings() -> None:
    assert from_mapping({"input": {"uri": "x"}}).input.uri == "x"
    with pytest.raises(UsageError, match="input: must be valid \\(keys should be strings\\), got 1"):
        from_mapping({"input": {1: 2}})


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        pytest.param("- a\n- b", "is not a mapping of keys to values.", id="list"),
        pytest.param("3", "is not a mapping of keys to values.", id="number"),
        pytest.param("1: 2", "is not a mapping of keys to values.", id="a-key-that-is-no-text"),
        pytest.param("a: b: c", ", line 1: mapping values are not allowed here.", id="no-yaml"),
        pytest.param("engine: local\ninput: {uri: [}", ", line 2: ", id="the-line-is-named"),
        pytest.param("a: 2024-13-45", ": month must be in 1..12", id="no-date"),
        pytest.param("input: &a {x: *a}", "found unconstructable recursive node.", id="holds-itself"),
        pytest.param("input:", "input: must be a mapping of keys to values", id="an-empty-section"),
        pytest.param("\0", ": not YAML.", id="nul"),
    ],
)
def test_a_wrong_file(tmp_path: Path, content: str, expected: str) -> None:
    path = write(tmp_path, content)
    with pytest.raises(UsageError) as caught:
        load(path)
    assert expected in caught.value.message
    assert str(path) in caught.value.message


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        pytest.param("missing.yaml", "No such file or directory", id="missing"),
        pytest.param(".", "Is a directory", id="folder"),
        pytest.param("latin.yaml", "it is not UTF-8 text", id="not-utf-8"),
        pytest.param("a\0b", "embedded null byte", id="nul"),
    ],
)
def test_a_file_that_cannot_be_read(tmp_path: Path, name: str, expected: str) -> None:
    (tmp_path / "latin.yaml").write_bytes(b"input: {uri: caf\xe9}")
    with pytest.raises(UsageError, match=f"can't be read: {expected}."):
        load(tmp_path / name)


@pytest.mark.parametrize("content", ["", "~", "# only a comment", "{}"])
def test_an_empty_file_is_the_defaults(tmp_path: Path, content: str) -> None:
    assert load(write(tmp_path, content)).config == Config()


TAG = "!!python/object/apply:os.mkdir"


def test_tags_are_not_executed_in_a_file(tmp_path: Path) -> None:
    target = tmp_path / "made"
    with pytest.raises(UsageError, match="could not determine a constructor for the tag"):
        load(write(tmp_path, f"input: {{uri: {TAG} ['{target}']}}"))
    assert not target.exists()


def test_tags_are_not_executed_in_an_assignment(tmp_path: Path) -> None:
    target = tmp_path / "made"
    text = f"{TAG} ['{target}']"
    assert load(None, [f"input.uri={text}"]).config.input.uri == text
    assert not target.exists()


ODD = st.sampled_from(["!!int", "!!bool x", "&a [*a]", "0b_", "2024-13-45", "<<: ", "{", "]", ": ", "\n", "? ", "'"])
TEXT = st.lists(st.text(max_size=8) | ODD | st.sampled_from(["1", ".inf", "input", "uri", "."]), max_size=8).map(
    "".join
)


@settings(deadline=None, max_examples=300)
@given(key=st.sampled_from([*KEYS, "input", "spark.conf.x", "cluster.x"]) | TEXT, value=TEXT)
def test_any_assignment_gives_a_config_or_a_usage_error(key: str, value: str) -> None:
    try:
        loaded = load(None, [f"{key}={value}"])
    except UsageError:
        return
    assert isinstance(loaded.config, Config)


@settings(deadline=None, max_examples=300)
@given(content=TEXT.map(str.encode) | st.binary(max_size=40) | st.sampled_from(KEYS).map(lambda k: f"{k}: &a".encode()))
def test_any_file_gives_a_config_or_a_usage_error(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "any.yaml"
    path.write_bytes(content)
    try:
        loaded = load(path)
    except UsageError:
        return
    assert isinstance(loaded.config, Config)


def commented_keys(text: str) -> Iterator[str]:
    """Yield the dotted keys of a shipped file that have a comment on their line, or on the line above."""
    path, above = list[tuple[int, str]](), ""
    for line in text.splitlines():
        match = re.match(r"( *)(\w+):(.*)", line)
        if match:
            indent, key, rest = match.groups()
            path = [(depth, name) for depth, name in path if depth < len(indent)] + [(len(indent), key)]
            if "#" in rest or above.lstrip().startswith("#"):
                yield ".".join(name for _, name in path)
        above = line


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.name)
def test_a_shipped_file_holds_every_key_and_loads(path: Path) -> None:
    loaded = load(path)
    assert {key for key, source in loaded.sources.items() if source == str(path)} == set(KEYS)


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.name)
def test_every_key_of_a_shipped_file_has_a_comment(path: Path) -> None:
    without = set(KEYS) - set(commented_keys(path.read_text(encoding="utf-8")))
    assert not without


def test_there_are_shipped_files() -> None:
    shipped = {"quickstart.yaml", "local.yaml", "bench.yaml", "emr.yaml", "ec2-dask.yaml"}
    assert shipped <= {path.name for path in CONFIGS}


CLUSTERS = [path for path in CONFIGS if load(path).config.cluster is not None]


@pytest.mark.parametrize("path", CLUSTERS, ids=lambda path: path.name)
def test_every_key_of_a_shipped_cluster_is_there_with_a_comment(path: Path) -> None:
    cluster = load(path).config.cluster
    assert cluster is not None
    text = path.read_text(encoding="utf-8")
    block = text[text.index("\ncluster:") :].split("\n\n", 1)[0]
    lines = dict(re.findall(r"^ +(\w+):(.*)$", block, re.MULTILINE))
    assert set(lines) == set(type(cluster).model_fields) | set(Prices.model_fields)
    assert [key for key, rest in lines.items() if "#" not in rest] == []


@pytest.mark.parametrize("key", KEYS)
def test_the_json_schema_covers_and_describes(key: str) -> None:
    schema = json_schema()
    node = schema
    for part in key.split("."):
        node = schema["$defs"][node["$ref"].rsplit("/", 1)[-1]] if "$ref" in node else node
        assert node["additionalProperties"] is False
        node = node["properties"][part]
    assert node["description"]
    assert "default" in node


def test_leaves_are_dotted_and_conf_stays_whole() -> None:
    tree = {"a": {"b": 1, "c": {"d": 2}}, "e": {}, "spark": {"conf": {"spark.x": 1}}, "cluster": {"kind": "emr"}}
    expected = [("a.b", 1), ("a.c.d", 2), ("e", {}), ("spark.conf", {"spark.x": 1}), ("cluster", {"kind": "emr"})]
    assert list(leaves(tree)) == expected
