"""Who crosses a line, and which way."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edgemass.config.scene import LineConfig
from edgemass.scene.filters import accepts
from edgemass.scene.geometry import Floats, Polyline
from edgemass.scene.happening import Direction
from edgemass.scene.objects import SceneObject

Total = dict[Direction, dict[str, int]]
"""Way -> label -> crossings."""
Totals = dict[str, Total]
"""By line."""


class LineWatch:
    """One line. An object crosses it when it was surely beside it and then surely is, with the line between the two."""

    def __init__(self, name: str, config: LineConfig) -> None:
        self.name = name
        self.config = config
        self._line = Polyline(config.points)

    def watch(self, seen: Sequence[SceneObject], points: Floats, sizes: Floats, aspect: float, mono_ns: int) -> None:
        """Note on each object the crossings that this frame brings.

        points: (n, 2) its anchor; sizes: (n, 2) width and height of its box; fractions of the frame.
        """
        sure = self._line.distances(points, np.maximum(sizes, 1e-6)) > self.config.margin
        for index in np.flatnonzero(sure).tolist():
            thing = seen[index]
            place = (float(points[index, 0]), float(points[index, 1]))
            before = thing.approaches.get(self.name)
            thing.approaches[self.name] = place
            if before is None:
                continue
            way = self._line.crossed(before, place) * (-1 if self.config.flip else 1)
            if way and accepts(self.config, thing.label, thing.top_score, thing.box, aspect):
                thing.crossings.append((self.name, "in" if way > 0 else "out", mono_ns))
