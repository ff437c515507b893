"""stdout and stderr as other programs leave them: closed early, full, read by nobody."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.unit.client.fake_platform import FakePlatform, event


def placet(*typed: str, out: int, err: int) -> int:
    """The status of the command in a process of its own, writing to these."""
    command = [sys.executable, "-m", "placet.cli", *typed]
    return subprocess.run(command, stdout=out, stderr=err, timeout=60).returncode


def closed_pipe() -> int:
    """The end to write to of a pipe that nobody reads."""
    ours, theirs = os.pipe()
    os.close(ours)
    return theirs


@pytest.mark.parametrize(
    ("typed", "status"),
    [
        ("list", 0),
        ("--help", 0),
        ("--version", 0),
        ("events", 141),
        ("audit replay", 141),
        ("logs wine", 141),
    ],
)
def test_a_reader_who_has_enough_ends_a_verb_quietly(
    platform: FakePlatform, tmp_path: Path, typed: str, status: int
) -> None:
    """With its own status where it comes to its end all the same, and as a shell says it where lines were to come."""
    platform.events = [event(1)]
    out = closed_pipe()
    with (tmp_path / "err").open("w+b") as err:
        assert placet(*typed.split(), out=out, err=err.fileno()) == status
        err.seek(0)
        assert err.read() == (b"release 1 of wine, which is live\n" if "logs" in typed else b"")
    os.close(out)


@pytest.mark.parametrize("form", [(), ("--json",)])
@pytest.mark.parametrize(
    ("is_good", "status", "said"), [(True, 0, "would be cleared"), (False, 1, "would be refused")]
)
def test_a_verdict_is_the_same_though_nobody_reads_it(
    project: Path, bare: Path, tmp_path: Path, form: tuple[str, ...], is_good: bool, status: int, said: str
) -> None:
    out = closed_pipe()
    with (tmp_path / "err").open("w+b") as err:
        folder = project if is_good else bare
        assert placet("check", str(folder), *form, out=out, err=err.fileno()) == status
        err.seek(0)
        assert said in err.read().decode()
    os.close(out)


@pytest.mark.parametrize(
    "typed", ["deploy {project}", "deploy {project} --json", "status wine --follow", "stop nobody"]
)
def test_what_failed_has_failed_though_nobody_reads_its_end(
    platform: FakePlatform, project: Path, tmp_path: Path, typed: str
) -> None:
    out = closed_pipe()
    with (tmp_path / "err").open("w+b") as err:
        platform.outcome = "live"
        assert placet("deploy", str(project), out=out, err=err.fileno()) == 0
        platform.outcome = "failed"
        placet("deploy", str(project), out=out, err=err.fileno())
        assert placet(*typed.format(project=project).split(), out=out, err=err.fileno()) == 1
    os.close(out)


@pytest.mark.parametrize(("outcome", "status"), [("live", 0), ("failed", 1)])
def test_an_operation_is_seen_through_though_nobody_reads_how_it_goes(
    platform: FakePlatform, project: Path, tmp_path: Path, outcome: str, status: int
) -> None:
    platform.outcome = outcome
    err = closed_pipe()
    with (tmp_path / "out").open("w+b") as out:
        assert placet("deploy", str(project), out=out.fileno(), err=err) == status
        out.seek(0)
        assert out.read().decode() == (f"{platform.url}/models/wine\n" if status == 0 else "")
    os.close(err)


@pytest.mark.parametrize("typed", ["list", "list --json"])
def test_a_full_disk_is_an_error_and_no_traceback(platform: FakePlatform, tmp_path: Path, typed: str) -> None:
    with Path("/dev/full").open("wb") as out, (tmp_path / "err").open("w+b") as err:
        assert placet(*typed.split(), out=out.fileno(), err=err.fileno()) == 1
        err.seek(0)
        assert err.read().endswith(b"placet: No space left on device\n")


@pytest.mark.parametrize("typed", ["list", "--help", "list --json", "events"])
@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-"])
def test_who_closed_where_it_writes_to_wants_nothing_said_there(
    platform: FakePlatform, typed: str, closed: str
) -> None:
    platform.events = [event(1)]
    command = ["sh", "-c", f'exec "$0" -m placet.cli {typed} {closed}', sys.executable]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    assert bool(done.stdout) is not closed.startswith(">")


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "2>&- >&-", "<&- >&- 2>&-"])
def test_whom_it_starts_can_read_and_write_whatever_its_caller_closed(closed: str, tmp_path: Path) -> None:
    started = (
        "import sys; sys.stdin.read(); print('said'); sys.stderr.write('told'); open('done', 'w').close()"
    )
    program = (
        "import subprocess, sys\nfrom placet.cli.entry import have_streams\nhave_streams()\n"
        f"sys.exit(subprocess.call([sys.executable, '-c', {started!r}]))"
    )
    done = subprocess.run(
        ["sh", "-c", f'exec "$0" -c "$1" {closed}', sys.executable, program],
        stdin=subprocess.DEVNULL,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "done").exists()
    assert done.stdout == ("" if " >" in f" {closed}" else "said\n")
    assert done.stderr == ("" if "2>" in closed else "told")
