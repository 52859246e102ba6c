"""How far an accelerator's numbers lie from the CPU's on the made-up input, by edgemass's own measure.

    python tests/benchmarks/agreement.py onnx:openvino MODEL...

backends/agreement.py has its tolerances from this table. `shuffled` is the CPU's own answer with its values in another
order: what a tolerance must refuse.
"""

from __future__ import annotations

import argparse
import sys

import numpy as np

from edgemass import backends, bundles
from edgemass.backends import Options, agreement
from edgemass.backends.choice import Choice, parse
from edgemass.detector import made_up_inputs
from edgemass.errors import BackendError
from edgemass.tensors import Outputs, Tensor


def outputs(bundle: bundles.Bundle, choice: Choice) -> Outputs:
    options = Options(provider=choice.provider, provider_options=choice.options)
    variant = bundle.manifest.reference
    backend = backends.load(choice.runtime).open(bundle.path(variant), options)
    found = agreement.keep(backend.run(made_up_inputs(bundle.manifest)))
    backend.close()
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("backend")
    parser.add_argument("models", nargs="+")
    options = parser.parse_args()
    choice = parse(options.backend)[0]
    print("| model | outputs | largest difference | shuffled, smallest |\n|---|---|---|---|")
    rng = np.random.default_rng(0)
    for name in options.models:
        bundle = bundles.resolve(name)
        unordered = bundle.manifest.output.nms is None and bundle.manifest.task == "detection"
        wanted = outputs(bundle, Choice(choice.runtime))
        try:
            found = outputs(bundle, choice)
        except BackendError as error:
            print(f"| {bundle.manifest.name} | {error} | | |", flush=True)
            continue
        off = [agreement.difference(found[key], wanted[key], unordered=unordered) for key in wanted]
        shuffled = [
            agreement.difference(Tensor(rng.permutation(t.data.ravel()).reshape(t.data.shape), t.quantization), t)
            for t in wanted.values()
        ]
        print(f"| {bundle.manifest.name} | {len(off)} | {max(off):.2g} | {min(shuffled):.2g} |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
