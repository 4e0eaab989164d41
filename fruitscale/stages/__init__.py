"""What workers run. Each part's name and content depend on its shard alone."""

from __future__ import annotations

from fruitscale.stages.absent import came_back, count_absent, read_photo
from fruitscale.stages.featurize import featurize_shards
from fruitscale.stages.memory import peak_rss_mb
from fruitscale.stages.reduce import group_moments, project_parts
from fruitscale.stages.tasks import (
    EarlierParts,
    FolderProbe,
    Job,
    PartGroup,
    ProjectionTask,
    Shard,
    ShardBatch,
    ShardReport,
    sees_folders,
)

__all__ = [
    "EarlierParts",
    "FolderProbe",
    "Job",
    "PartGroup",
    "ProjectionTask",
    "Shard",
    "ShardBatch",
    "ShardReport",
    "came_back",
    "count_absent",
    "featurize_shards",
    "group_moments",
    "peak_rss_mb",
    "project_parts",
    "read_photo",
    "sees_folders",
]
