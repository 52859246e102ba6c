"""A lossless rewrite of an ONNX detector: the same answers from a graph that leaves less to do.

What is done to the graph stands in `fold_input`, `split_convolutions` and `cut_head`; `_rewriter` does it in a child
process, since the file is one that nobody vouches for; `agreement` says whether the answers are the same.
"""

from __future__ import annotations

from edgemass.bundles.optimize.rewriting import WORK_PREFIX, Outcome, rewrite, supports

__all__ = ["WORK_PREFIX", "Outcome", "rewrite", "supports"]
