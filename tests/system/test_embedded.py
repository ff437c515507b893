"""The scenarios on `placet up`: one process, nothing else."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.platforms import Platform, embedded
from tests.system.scenarios import Scenarios


class TestEmbedded(Scenarios):
    @pytest.fixture(scope="class")
    @classmethod
    def platform(cls, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
        with embedded(tmp_path_factory.mktemp("embedded")) as platform:
            yield platform
