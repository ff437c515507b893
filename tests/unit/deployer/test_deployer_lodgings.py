"""As whom models may run here, and what others can reach."""

from __future__ import annotations

import logging
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from placet.deployer.adapters.lodgings import (
    FEWER,
    OwnUsers,
    SameUser,
    holds_more_than,
    lodgings,
    users_to_give,
)
from placet.deployer.adapters.reach import (
    Python,
    is_passable,
    is_readable,
    place_for_models,
    python_below,
    python_for_models,
)
from placet.errors import Refused

from tests.support.logs import Logged

needs_root = pytest.mark.skipif(
    users_to_give() is None, reason="models get users of their own only where the tests run as root"
)


@pytest.fixture
def public() -> Iterator[Path]:
    """A folder that everybody can pass through, unlike pytest's own."""
    path = Path(tempfile.mkdtemp(prefix="placet-test-"))
    path.chmod(0o711)
    yield path
    shutil.rmtree(path)


class TestReach:
    def test_a_file_is_reached_through_open_folders_only(self, public: Path) -> None:
        file = public / "folder" / "file"
        file.parent.mkdir(mode=0o755)
        file.touch(mode=0o644)
        assert is_readable(file)

        file.parent.chmod(0o700)
        assert not is_readable(file)
        assert not is_passable(file.parent)

        file.parent.chmod(0o711)
        file.chmod(0o600)
        assert not is_readable(file)
        assert not is_readable(public / "nothing")

    def test_models_have_no_place_where_they_cannot_go(self, public: Path) -> None:
        closed = public / "closed"
        closed.mkdir(mode=0o700)

        with pytest.raises(Refused, match=r"cannot reach .*closed/models/.*; set PLACET_MODEL_FOLDER"):
            place_for_models(public / "instances", closed / "models")

    def test_models_have_no_place_that_others_may_change(self, public: Path) -> None:
        place_for_models(public / "instances", public).chmod(0o777)

        with pytest.raises(Refused, match="others may change "):
            place_for_models(public / "instances", public)

    def test_each_deployer_has_a_place_whatever_the_umask(self, public: Path) -> None:
        before = os.umask(0o077)
        try:
            places = {place_for_models(public / name, public / "models") for name in ("one", "other")}
        finally:
            os.umask(before)

        assert len(places) == 2
        assert {each.parent for each in places} == {(public / "models").resolve()}
        assert all(is_passable(each) for each in places)

    @needs_root
    @pytest.mark.parametrize("find", [python_for_models, python_below])
    def test_another_user_can_run_this_python_wherever_it_lies(
        self, public: Path, find: Callable[[Path], Python]
    ) -> None:
        python = find(public)

        said = subprocess.run(
            [python.executable, "-I", "-S", "-c", "import os, ssl, sqlite3; print(os.getuid())"],
            env=dict(python.environment),
            cwd="/",
            user=FEWER[0],
            group=FEWER[0],
            extra_groups=[],
            capture_output=True,
            text=True,
            check=True,
        )
        assert said.stdout == f"{FEWER[0]}\n"
        assert find(public) == python


class TestWhom:
    def test_models_with_the_deployers_user_are_spoken_of_once(self, tmp_path: Path, logged: Logged) -> None:
        found = lodgings(tmp_path, place=None, own_users=False)

        assert isinstance(found, SameUser)
        (record,) = logged()
        assert record.levelno == logging.WARNING
        assert "models run as the deployer's own user: they can read" in record.message

    @needs_root
    def test_root_gives_each_model_a_user_without_being_asked(self, public: Path) -> None:
        assert isinstance(lodgings(public, place=public, own_users=None), OwnUsers)

    @needs_root
    @pytest.mark.skipif(shutil.which("setpriv") is None, reason="util-linux is not installed")
    @pytest.mark.parametrize(
        ("own_users", "said"), [("None", "SameUser"), ("True", "this deployer may not become other users")]
    )
    def test_a_root_that_may_not_become_others_is_like_any_user(
        self, tmp_path: Path, own_users: str, said: str
    ) -> None:
        program = f"""
from pathlib import Path
from placet.deployer.adapters.lodgings import lodgings
from placet.errors import Refused
try:
    found = lodgings(Path("instances"), place=None, own_users={own_users})
    print(type(found).__name__)
except Refused as error:
    print(error)
"""
        done = subprocess.run(
            ["setpriv", "--bounding-set", "-all", sys.executable, "-c", program],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=True,
        )
        assert said in done.stdout


class TestScratch:
    def test_what_it_holds_is_counted_to_the_limit(self, tmp_path: Path) -> None:
        (tmp_path / "folder").mkdir()
        (tmp_path / "folder" / "file").write_bytes(b"x" * 2**20)

        assert not holds_more_than(tmp_path, 2**21)
        assert holds_more_than(tmp_path, 2**19)
        assert not holds_more_than(tmp_path / "nothing", 0)

    def test_a_file_that_only_says_to_be_large_takes_nothing(self, tmp_path: Path) -> None:
        with (tmp_path / "sparse").open("wb") as file:
            file.truncate(2**30)

        assert not holds_more_than(tmp_path, 2**20)

    def test_a_link_is_not_followed(self, tmp_path: Path) -> None:
        (tmp_path / "everything").symlink_to("/")

        assert not holds_more_than(tmp_path, 2**20)
