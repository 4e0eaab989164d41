"""The annex as Markdown: what a bucket or tag is named can't change it, and every finding is in it."""

from __future__ import annotations

import itertools
import re

import pytest
from markdown_it import MarkdownIt

from fruitscale.gdpr.findings import Audit, AuditedPlace, AuditFinding, AuditVerdict
from fruitscale.gdpr.markdown import markdown

HOSTILE = [
    "a | b", "<script>alert(1)</script>", "<!-- hidden", "`code` and ``more``", "[link](https://example.org)",
    "**bold** _and_ *more*", "line\nbreak | and\r\n# heading", "&lt;b&gt; &amp; &#124;", "\\| \\", "![](x)", "~~no~~",
    "</td></table>", "# heading", "---", "tab\tand\x00nul", "https://example.org/<x>", "1. list", "| --- |",
]  # fmt: skip


def audit(text: str, remedy: str = "aws s3api x") -> Audit:
    findings = (
        AuditFinding(f"s3://{text}", text, AuditVerdict.FAIL, text, ("17",), (text,), remedy),
        AuditFinding("config", "region", AuditVerdict.UNKNOWN, text, ("44",)),
        AuditFinding("config", "residency", AuditVerdict.PASS, "checked", ("44",), ("S3.5",)),
    )
    place = AuditedPlace(f"s3://{text}", ("input",), "eu-west-3", {text: text, "owner": "ours"})
    return Audit("2026-01-02T03:04:05Z", "1.2.3", True, (place,), findings)


def tables(text: str) -> list[list[list[str]]]:
    """Return each table's rows of cells as a reader sees them, and fail where there is HTML."""
    found: list[list[list[str]]] = []
    tokens = MarkdownIt("commonmark").enable(["table", "strikethrough"]).parse(text)
    for opening, token in itertools.pairwise(tokens):
        assert token.type != "html_block", token.content
        if opening.type == "table_open":
            found.append([])
        if opening.type == "tr_open":
            found[-1].append([])
        if opening.type in ("th_open", "td_open"):
            children = token.children or []
            assert not {"html_inline", "link_open", "image", "code_inline"} & {child.type for child in children}
            found[-1][-1].append("".join(child.content for child in children))
    return found


def shown(text: str) -> str:
    return "".join(char if char.isprintable() else " " for char in text).strip()


@pytest.mark.parametrize("text", HOSTILE)
def test_nothing_that_is_named_changes_the_tables(text: str) -> None:
    _, places, bucket, config = tables(markdown(audit(text)))
    told = shown(text)
    tags = shown(", ".join(f"{key}={value}" for key, value in sorted({text: text, "owner": "ours"}.items())))
    assert places[1:] == [[shown(f"s3://{text}"), "input", "eu-west-3", tags]]
    assert bucket[1:] == [[told, "FAIL", told, shown(f"GDPR art. 17; Security Hub {text}")]]
    assert config[1:] == [
        ["region", "could not be checked", told, "GDPR art. 44"],
        ["residency", "pass", "checked", "GDPR art. 44; Security Hub S3.5"],
    ]


@pytest.mark.parametrize("remedy", ['aws x \'{"a": "```"}\'', "aws `````", "a\n```\n# not a heading", "<b> | x"])
def test_commands_stay_in_their_fence(remedy: str) -> None:
    tokens = MarkdownIt("commonmark").parse(markdown(audit("x", remedy)))
    assert [token.content for token in tokens if token.type == "fence"] == [remedy.replace("\n", " ") + "\n"]


def test_it_reads_as_an_annex() -> None:
    text = markdown(audit("photos"))
    headings = re.findall("^#+ (.*)", text, re.MULTILINE)
    assert headings == [
        "Technical and organisational measures", "Where the data are", r"s3://photos", "config",
        "Remedies and inspection commands", "Notes",
    ]  # fmt: skip
    first = tables(text)[0]
    assert ["Checked at", "2026-01-02T03:04:05Z"] in first
    assert ["Result", "fails"] in first
    assert ["Settings", "1 pass, 1 failed, 1 could not be checked"] in first
    for part in ("article 30(1)(g)", "neither legal advice", "is not a pass", "references to AWS's controls"):
        assert part in text


def test_what_does_not_fail_says_so() -> None:
    good = audit("x")
    good = Audit(good.made, good.version, False, good.places, good.findings[1:])
    first = tables(markdown(good))[0]
    assert ["Result", "nothing fails"] in first
    assert any("a cluster run is not refused" in cells[1] for cells in first)
    assert not good.failed
    assert good.unchecked
