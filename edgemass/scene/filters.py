"""Which objects a zone, a line, a rule or the events are about."""

from __future__ import annotations

from edgemass.config.scene import Filters
from edgemass.scene.happening import Box


def accepts(filters: Filters, label: str, top_score: float, box: Box, aspect: float) -> bool:
    """Whether an object counts.

    box: fractions of the frame. aspect: width of the frame by its height, in pixels.
    """
    if filters.labels and label not in filters.labels:
        return False
    width, height = box[2] - box[0], box[3] - box[1]
    return (
        top_score >= filters.min_score
        and filters.min_area <= width * height <= filters.max_area
        and filters.min_ratio * height <= width * aspect <= filters.max_ratio * height
    )
