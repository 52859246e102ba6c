"""What every backend promises, whatever it runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from edgemass import backends
from edgemass.backends import BACKENDS, Backend, Options
from edgemass.backends.ladder import Candidate, Floor, Ladder, Sample
from edgemass.clock import SystemClock
from edgemass.errors import BackendError, BackendUnavailableError
from edgemass.tensors import AnyArray
from tests.simulators import tiny_models

pytestmark = pytest.mark.runtime

FIXED: dict[str, Callable[[Path], Path]] = {  # runtime -> a maker of a file with fixed shapes, out = in + 1
    "onnx": tiny_models.onnx_add,
    "tflite": tiny_models.tflite_add,
}
FREE: dict[str, Callable[[Path], Path]] = {  # the same with free height and width
    "onnx": lambda path: tiny_models.onnx_add(path, (1, 3, "height", "width")),
    "tflite": lambda path: tiny_models.tflite_add(path, signature=(1, -1, -1, 3)),
}


@pytest.fixture(params=sorted(BACKENDS))
def runtime(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=["bare", "floor", "watched"])
def backend(runtime: str, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Backend]:
    """The adapter itself; as the ladder's CPU; and as an accelerator that the ladder watches."""
    path = FIXED[runtime](tmp_path / "model")

    def opened() -> Backend:
        return backends.load(runtime).open(path, Options(threads=1))

    bare = opened()
    if request.param == "bare":
        yield bare
        return
    candidates = [Candidate(bare.name, "v", opened, lambda _: None, 60.0, 30.0)] * (request.param == "watched")
    sample = Sample({"in": picture(bare)})
    ladder = Ladder(candidates, Floor(bare, "v"), sample=sample, strict=False, clock=SystemClock())
    yield ladder
    ladder.close()


def picture(backend: Backend, value: float = 1) -> AnyArray:
    info = backend.inputs[0]
    return np.full([side or 4 for side in info.shape], value, info.dtype)


def test_it_names_what_runs_and_what_was_asked_for(backend: Backend) -> None:
    assert backend.name == backend.requested
    assert "/" in backend.name
    assert backend.version[0].isdigit()


def test_it_reports_the_tensors_of_the_file(backend: Backend) -> None:
    assert [info.name for info in backend.inputs] == ["in"]
    assert [info.name for info in backend.outputs] == ["out"]
    assert sorted(side or 0 for side in backend.inputs[0].shape) == [1, 3, 4, 4]
    assert backend.inputs[0].dtype == backend.outputs[0].dtype == "float32"


def test_a_run_answers_by_output_name(backend: Backend) -> None:
    outputs = backend.run({"in": picture(backend)})
    assert list(outputs) == ["out"]
    np.testing.assert_array_equal(outputs["out"].data, picture(backend, 2))


def test_a_run_depends_on_its_inputs_alone(backend: Backend) -> None:
    first = backend.run({"in": picture(backend)})["out"].data.copy()
    backend.run({"in": picture(backend, 5)})
    np.testing.assert_array_equal(backend.run({"in": picture(backend)})["out"].data, first)


def test_outputs_that_somebody_still_holds_do_not_hinder_the_next_run(backend: Backend) -> None:
    held = [backend.run({"in": picture(backend, value)}) for value in range(3)]
    assert held[-1]["out"].data.max() == 3


def test_outputs_outlive_the_session(backend: Backend) -> None:
    outputs = backend.run({"in": picture(backend)})
    backend.close()
    assert outputs["out"].data.max() == 2


def test_an_input_that_is_no_contiguous_array_is_read_right(backend: Backend) -> None:
    array = np.arange(48, dtype=np.float32).reshape([side or 0 for side in backend.inputs[0].shape])[..., ::-1]
    np.testing.assert_array_equal(backend.run({"in": array})["out"].data, array + 1)


def test_free_dimensions_are_none_and_take_any_size(runtime: str, tmp_path: Path) -> None:
    backend = backends.load(runtime).open(FREE[runtime](tmp_path / "model"), Options(threads=1))
    assert backend.inputs[0].shape.count(None) == 2
    for side in (4, 7, 4):
        array = np.zeros([1, 3, side, side] if runtime == "onnx" else [1, side, side, 3], np.float32)
        assert backend.run({"in": array})["out"].data.shape == array.shape


@pytest.mark.parametrize("fault", ["missing", "shape", "dtype"])
def test_a_wrong_feed_is_a_backend_error_of_one_line(backend: Backend, fault: str) -> None:
    good = picture(backend)
    backend.run({"in": good})
    feed: dict[str, AnyArray] = {
        "missing": {},
        "shape": {"in": good[..., :2]},
        "dtype": {"in": good.astype(np.float64)},
    }[fault]
    with pytest.raises(BackendError) as caught:
        backend.run(feed)
    assert "\n" not in str(caught.value)


def test_it_runs_on_after_a_wrong_feed(backend: Backend) -> None:
    with pytest.raises(BackendError):
        backend.run({"in": picture(backend)[..., :2]})
    assert backend.run({"in": picture(backend)})["out"].data.max() == 2


@pytest.mark.parametrize("content", [b"", b"no model at all", b"\x08\x07" + b"\xff" * 64])
def test_a_file_that_is_no_model_is_a_backend_error_of_one_line(runtime: str, tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "model"
    path.write_bytes(content)
    with pytest.raises(BackendError) as caught:
        backends.load(runtime).open(path, Options())
    assert "\n" not in str(caught.value)
    assert "model" in str(caught.value)


def test_a_file_that_is_not_there_is_a_backend_error(runtime: str, tmp_path: Path) -> None:
    with pytest.raises(BackendError, match="nothing"):
        backends.load(runtime).open(tmp_path / "nothing", Options())


def test_an_unknown_provider_is_refused_with_those_that_exist(runtime: str, tmp_path: Path) -> None:
    path = FIXED[runtime](tmp_path / "model")
    with pytest.raises(BackendUnavailableError, match=r"'quantum'.*cpu"):
        backends.load(runtime).open(path, Options(provider="quantum"))


def test_the_baseline_of_the_benchmark_gives_the_same_answer(runtime: str, tmp_path: Path) -> None:
    backend = backends.load(runtime).open(FIXED[runtime](tmp_path / "model"), Options(threads=1, plain=True))
    np.testing.assert_array_equal(backend.run({"in": picture(backend)})["out"].data, picture(backend, 2))
