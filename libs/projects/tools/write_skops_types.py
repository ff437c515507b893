"""Write `data/skops_types.json`: the types that the installed skops trusts by itself, by the node that loads them.

Run it after an upgrade of skops or scikit-learn: `python libs/projects/tools/write_skops_types.py`. A test says
when it is due. The result is data, so that nobody needs scikit-learn to check a file.
"""

from __future__ import annotations

import json
from importlib.metadata import version
from pathlib import Path
from typing import Any

TARGET = Path(__file__).parents[1] / "src/placet/projects/data/skops_types.json"


def skops_types() -> dict[str, Any]:
    from skops.io import _sklearn, _trusted_types
    from skops.io._protocol import PROTOCOL
    from skops.io._utils import get_module

    ufuncs = _trusted_types.SCIPY_UFUNC_TYPE_NAMES + _trusted_types.NUMPY_UFUNC_TYPE_NAMES
    dtypes = _trusted_types.NUMPY_DTYPE_TYPE_NAMES
    nodes = {
        "DictNode": ["builtins.dict", "collections.OrderedDict"],
        "DefaultDictNode": ["collections.defaultdict"],
        "ListNode": ["builtins.list"],
        "SetNode": ["builtins.set"],
        "TupleNode": ["builtins.tuple"],
        "BytesNode": ["builtins.bytes"],
        "BytearrayNode": ["builtins.bytearray"],
        "FunctionNode": ufuncs,
        "TypeNode": [
            *_trusted_types.PRIMITIVE_TYPE_NAMES,
            *_trusted_types.CONTAINER_TYPE_NAMES,
            *dtypes,
        ],
        "ObjectNode": _trusted_types.SKLEARN_ESTIMATOR_TYPE_NAMES
        + _trusted_types.SKLEARN_INTERNAL_TYPE_NAMES,
        "LossNode": [f"{get_module(loss)}.{loss.__name__}" for loss in _sklearn.ALLOWED_LOSSES],
        "NdArrayNode": ["numpy.ndarray", *dtypes],
        "MaskedArrayNode": ["numpy.ma.MaskedArray"],
        "RandomStateNode": ["numpy.random.mtrand.RandomState"],
        "RandomGeneratorNode": ["numpy.random._generator.Generator"],
        "SparseMatrixNode": ["scipy.sparse._matrix.spmatrix", "scipy.sparse._base.sparray"],
    }
    return {
        "skops": version("skops"),
        "scikit-learn": version("scikit-learn"),
        "protocol": PROTOCOL,
        "bitGenerators": sorted(_trusted_types.NUMPY_RANDOM_BIT_GENERATOR_TYPE_NAMES),
        "nodes": {name: sorted(set(types)) for name, types in sorted(nodes.items())},
    }


if __name__ == "__main__":
    TARGET.write_text(json.dumps(skops_types(), indent=1) + "\n")
