"""Values set in a config file: comments, order and everything else stay."""

from __future__ import annotations

import pytest
import yaml

from fruitscale.config.filled_file import fill
from fruitscale.errors import UsageError
from tests.conftest import ROOT

SETTINGS = {"input.uri": "s3://b/p", "cluster.subnets": ["subnet-1", "subnet-2"], "storage.kms_key": "k"}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "# only a comment\n",
        "engine: spark\n",
        "cluster: {kind: emr}\nstorage:\n",
        "cluster:\n  kind: emr\n  subnets:\n    - subnet-a\n    # x\n    - subnet-b\n  release: emr-7  # r\ninput: null\n",
        "cluster:\n    kind: emr\n    subnets:\nstorage: {}\n",
        "cluster:\n  kind: emr\n  subnets:   # the subnets\n  - subnet-a\n",
        "cluster:\n  subnets: # mine\ninput:\n  uri:",
        (ROOT / "configs" / "emr.yaml").read_text(),
    ],
)
def test_values_are_set_and_the_rest_stays(text: str) -> None:
    filled = fill(text, SETTINGS)
    found, before = yaml.safe_load(filled), yaml.safe_load(text) or {}
    assert found["cluster"]["subnets"] == ["subnet-1", "subnet-2"]
    assert (found["storage"]["kms_key"], found["input"]["uri"]) == ("k", "s3://b/p")
    assert fill(filled, SETTINGS) == filled
    comments = [line.partition("#")[2] for line in text.splitlines() if "#" in line and " x" not in line]
    assert [comment for comment in comments if comment not in filled] == []
    kept = {key: value for key, value in before.items() if key not in ("input", "cluster", "storage")}
    assert kept.items() <= found.items()


def test_a_value_where_a_section_belongs_is_refused() -> None:
    with pytest.raises(UsageError, match="cluster is not a section"):
        fill("cluster: emr\n", SETTINGS)
