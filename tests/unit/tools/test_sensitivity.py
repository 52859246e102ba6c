from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("onnxruntime", reason="the extra onnx enables this")
pytest.importorskip("onnx", reason="the extra import enables this")

from edgemass.errors import BundleError
from edgemass_tools.int8 import sensitivity


def test_a_graph_whose_answers_change_their_length_is_refused_with_a_reason() -> None:
    with pytest.raises(BundleError, match="keep it in float"):
        sensitivity._error([np.ones((2, 176), np.float32)], [np.ones((2, 179), np.float32)])
