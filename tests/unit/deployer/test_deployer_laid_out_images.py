"""Images' files for models' own users: once for all who run one, and gone when nobody has for a while."""

from __future__ import annotations

import stat
import threading
from collections.abc import Callable
from itertools import count
from pathlib import Path

import pytest
from placet.deployer.adapters.laid_out_images import IDLE, LaidOutImages
from placet.deployer.adapters.lodgings import FEWER, users_to_give

pytestmark = pytest.mark.skipif(users_to_give() is None, reason="only root gives files to groups")

Make = Callable[[str], Path]


@pytest.fixture
def unpacked(tmp_path: Path) -> Make:
    def unpacked(name: str) -> Path:
        files = tmp_path / "unpacked" / name
        (files / "project").mkdir(parents=True)
        (files / "project" / "model").write_text(name)
        return files

    return unpacked


@pytest.fixture
def homes(tmp_path: Path) -> Path:
    (tmp_path / "homes").mkdir()
    return tmp_path / "homes"


@pytest.fixture
def images(tmp_path: Path, homes: Path) -> LaidOutImages:
    numbers = count(FEWER[0])
    return LaidOutImages(tmp_path / "images", links=lambda: homes.iterdir(), new_group=lambda: next(numbers))


def laid_out(tmp_path: Path) -> set[str]:
    """What the models say that are there."""
    return {each.read_text() for each in (tmp_path / "images").glob("*/app/project/model")}


def test_all_who_run_an_image_share_its_files_and_its_group(
    images: LaidOutImages, unpacked: Make, homes: Path
) -> None:
    files = unpacked("churn")

    first, second = (images.hold(homes / name, files) for name in ("churn-1", "churn-2"))

    assert first == second
    assert (homes / "churn-1").resolve() == (homes / "churn-2").resolve()
    assert (homes / "churn-1" / "project" / "model").samefile(files / "project" / "model")


def test_only_its_group_may_look_into_an_image(images: LaidOutImages, unpacked: Make, homes: Path) -> None:
    groups = [images.hold(homes / name, unpacked(name)) for name in ("churn", "fraud")]

    assert len(set(groups)) == 2
    assert images.groups() == set(groups)
    image = (homes / "churn").resolve().parent.stat()
    assert (image.st_uid, image.st_gid) == (0, groups[0])
    assert stat.S_IMODE(image.st_mode) == 0o750
    assert stat.S_IMODE((homes / "churn").resolve().parent.parent.stat().st_mode) == 0o711


def test_what_is_run_stays_and_of_the_others_those_that_ran_last(
    images: LaidOutImages, unpacked: Make, homes: Path, tmp_path: Path
) -> None:
    images.hold(homes / "runs on", unpacked("runs on"))
    for number in range(IDLE + 2):
        link = homes / f"ended {number}"
        images.hold(link, unpacked(link.name))
        link.unlink()

    images.remove_idle()

    assert laid_out(tmp_path) == {"runs on", *(f"ended {number}" for number in range(2, IDLE + 2))}
    images.hold(homes / "again", tmp_path / "unpacked" / "ended 0")
    assert (homes / "again" / "project" / "model").read_text() == "ended 0"


def test_what_was_unpacked_anew_is_laid_out_anew(
    images: LaidOutImages, unpacked: Make, homes: Path, tmp_path: Path
) -> None:
    files = unpacked("churn")
    images.hold(homes / "before", files)
    files.rename(tmp_path / "damaged")
    (unpacked("churn") / "project" / "model").write_text("whole")

    images.hold(homes / "after", files)

    assert (homes / "after" / "project" / "model").read_text() == "whole"
    assert (homes / "before" / "project" / "model").read_text() == "churn"


def test_what_a_killed_deployer_had_half_made_is_swept_away(
    images: LaidOutImages, unpacked: Make, homes: Path, tmp_path: Path
) -> None:
    half = tmp_path / "images" / ".partial" / "work" / "image"
    half.mkdir(parents=True)
    (half / "file").touch()

    images.hold(homes / "churn", unpacked("churn"))

    assert list((tmp_path / "images" / ".partial").iterdir()) == []


def test_many_at_once_find_what_they_hold(
    images: LaidOutImages, unpacked: Make, homes: Path, tmp_path: Path
) -> None:
    """Others come and go meanwhile, so many that what nobody holds has to go at once."""
    files = [unpacked(f"model {number}") for number in range(IDLE + 4)]
    missing: list[str] = []

    def come_and_go(mine: int) -> None:
        for turn in range(20):
            each = files[(mine * 5 + turn) % len(files)]
            link = homes / f"{mine} {turn}"
            images.hold(link, each)
            if (link / "project" / "model").read_text() != each.name:
                missing.append(link.name)
            link.unlink()
            images.remove_idle()

    threads = [threading.Thread(target=come_and_go, args=(mine,)) for mine in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()

    assert missing == []
    assert len(laid_out(tmp_path)) <= IDLE
