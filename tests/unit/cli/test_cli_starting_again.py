"""A process that becomes another one, with the sockets of the one before."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

from placet.cli.platform import FIRST_HANDED

SCRIPT = """
import os, socket
from placet.cli.platform import hand_over, listen

listening, clients = listen("127.0.0.1", 0)
listening.listen()
if "LISTENED" not in os.environ:
    mine = [socket.create_connection(listening.getsockname()) for _ in range(20)]
    accepted = [listening.accept()[0] for _ in mine]
    for number, each in enumerate(mine):
        each.send(bytes([number]))
        os.set_inheritable(each.detach(), True)
    os.environ["LISTENED"] = str(listening.getsockname()[1])
    # In the way of each other, as descriptors may be.
    hand_over([listening, *reversed(accepted)])
assert listening.getsockname()[1] == int(os.environ["LISTENED"])
assert "LISTEN_FDS" not in os.environ
assert not any(os.get_inheritable(each.fileno()) for each in (listening, *clients))
print(*(each.recv(2)[0] for each in clients))
"""


def test_it_gets_the_one_to_listen_on_and_those_of_clients(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, check=False)
    assert done.stdout.split() == [str(each) for each in reversed(range(20))], done.stderr


def test_one_and_no_more_is_to_listen_on() -> None:
    """As a unit of systemd may say otherwise."""
    two = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
    assert "2 sockets to listen on" in started_with(two)


def test_it_is_one_of_tcp() -> None:
    here, there = socket.socketpair()
    with there:
        assert "none of TCP" in started_with([here])


def test_one_that_is_somebody_elses_is_left_alone() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        assert "another of its own" in started_with([other], pid="1")


def started_with(sockets: list[socket.socket], pid: str = "") -> str:
    """The last line of what a process says that is given them from the first descriptor on, as systemd does it."""
    script = (
        "import os\n"
        "from placet.cli.platform import listen\n"
        f"os.environ['LISTEN_PID'] = {pid!r} or str(os.getpid())\n"
        f"os.environ['LISTEN_FDS'] = '{len(sockets)}'\n"
        "from placet.errors import PlacetError\n"
        "try:\n"
        "    listening, _ = listen('127.0.0.1', 0)\n"
        "except PlacetError as error:\n"
        "    print(error.detail, error.fix)\n"
        "else:\n"
        f"    print('handed' if listening.fileno() == {FIRST_HANDED} else 'another of its own')\n"
    )
    high = [os.dup(each.fileno()) for each in sockets]
    moved = "".join(f"os.dup2({each}, {FIRST_HANDED + number});" for number, each in enumerate(high))
    again = f"import os, sys; {moved} os.execv(sys.executable, [sys.executable, '-c', {script!r}])"
    done = subprocess.run(
        [sys.executable, "-c", again], pass_fds=high, capture_output=True, text=True, check=False
    )
    for given, copy in zip(sockets, high, strict=True):
        given.close()
        os.close(copy)
    return done.stdout + done.stderr
