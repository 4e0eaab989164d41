"""What a lifecycle rule does, and for which objects."""

from __future__ import annotations

from typing import Any

import pytest

from fruitscale.gdpr.retention_controls import covers, ends_by_age, ends_markers, ends_old_versions


@pytest.mark.parametrize(
    ("rule", "ends"),
    [
        ({"NoncurrentVersionExpiration": {"NoncurrentDays": 30}}, True),
        ({"NoncurrentVersionExpiration": {"NoncurrentDays": 31}}, False),
        ({"NoncurrentVersionExpiration": {"NoncurrentDays": 1, "NewerNoncurrentVersions": 1}}, False),
        ({"NoncurrentVersionTransitions": [{"NoncurrentDays": 1, "StorageClass": "GLACIER"}]}, False),
        ({"Expiration": {"Days": 1}}, False),
        ({}, False),
    ],
)
def test_old_versions_end(rule: dict[str, Any], ends: bool) -> None:
    assert ends_old_versions(rule) is ends


@pytest.mark.parametrize(
    ("rule", "by_age", "markers"),
    [
        ({"Expiration": {"Days": 400}}, True, True),
        ({"Expiration": {"ExpiredObjectDeleteMarker": True}}, False, True),
        ({"Expiration": {"ExpiredObjectDeleteMarker": False}}, False, False),
        ({"Expiration": {"Date": "2030-01-01"}}, False, False),
        ({}, False, False),
    ],
)
def test_objects_and_markers_end(rule: dict[str, Any], by_age: bool, markers: bool) -> None:
    assert (ends_by_age(rule), ends_markers(rule)) == (by_age, markers)


@pytest.mark.parametrize(
    ("rule", "prefix", "covered"),
    [
        ({}, "in/", True),
        ({"Filter": {}}, "", True),
        ({"Filter": {"Prefix": ""}}, "", True),
        ({"Filter": {"Prefix": "in"}}, "in/", True),
        ({"Filter": {"Prefix": "in/"}}, "in/", True),
        ({"Filter": {"Prefix": "in/Apple/"}}, "in/", False),
        ({"Filter": {"Prefix": "in/"}}, "", False),
        ({"Filter": {"Prefix": "in/"}}, "inner/", False),
        ({"Prefix": "in/"}, "in/", True),
        ({"Prefix": "out/"}, "in/", False),
        ({"Filter": {"Tag": {"Key": "a", "Value": "b"}}}, "in/", False),
        ({"Filter": {"ObjectSizeGreaterThan": 1}}, "in/", False),
        ({"Filter": {"And": {"Prefix": "", "ObjectSizeLessThan": 9}}}, "in/", False),
    ],
)
def test_a_rule_is_for_all_objects_under_a_prefix(rule: dict[str, Any], prefix: str, covered: bool) -> None:
    assert covers(rule, prefix) is covered
