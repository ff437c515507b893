"""What is promised of a layer's size before it is made."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from placet.builder.layers import archive_at_most, sizes_of, write_layer

NOISE = os.urandom(3_000_000)


@pytest.mark.parametrize(
    "files",
    [
        {},
        {"empty": b""},
        {"one": NOISE},
        {f"{number}": NOISE[number : number + 1] for number in range(3000)},
        {"a-long-name/" * 300 + str(number): NOISE[:513] for number in range(20)},
        {"/".join("d" * (number + 1)) + "/é" * 90: NOISE[:1] for number in range(200)},
    ],
    ids=["nothing", "empty", "incompressible", "many", "long names", "deep"],
)
def test_no_layer_is_larger_than_was_said_of_it(tmp_path: Path, files: dict[str, bytes]) -> None:
    layer = write_layer(files, tmp_path / "layer", title="layer")

    assert layer.descriptor.size <= archive_at_most(sizes_of(files))
