"""What counts up per camera and run, whatever takes the place of what counted before."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class Numbering:
    """Of one camera; kept while its process lives, so that no `seq` comes twice in one run.

    documents: of frames, made so far. events: sent so far. objects: told so far. troubles: outages told so far.
    """

    documents: int = 0
    events: int = 0
    objects: int = 0
    troubles: int = 0
