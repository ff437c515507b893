"""What a hostile model tries on the process host, and what its deployer says then."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import psutil
import pytest
from placet.deployer.adapters.local_processes import PROCESSES, LocalProcesses
from placet.deployer.adapters.lodgings import SameUser
from placet.deployer.adapters.processes import processes_of
from placet.deployer.adapters.telling import LAST_BYTES
from placet.deployer.ports import Instance, InstanceSpec
from placet.deployer.room import Amount
from placet.events import Wiring
from placet.events.adapters.in_process_bus import InProcessHub
from placet.oci import ImageConfig, ImageLayout, Manifest, Platform, sha256_digest
from placet.oci.content import OCI_CONFIG, OCI_LAYER
from placet.trust import own_key

from tests.contract.model_host_contract import log
from tests.contract.model_host_small_image import PYTHON_HERE, layer
from tests.contract.process_hosts import KINDS, process_host, some_lodgings
from tests.support.eventually import eventually

CHILD = """
import os, subprocess, sys, time
child = "import time; held = bytearray(64 * 2**20); print('held', flush=True); time.sleep(600)"
started = subprocess.Popen([sys.executable, "-S", "-c", child], start_new_session=True)
print("child", started.pid, flush=True)
time.sleep(600)
"""

BOMB = """
import json, os, time
print(json.dumps({"user": os.getuid()}), flush=True)
while True:
    try:
        os.fork()
    except OSError:
        time.sleep(1)
"""
# It leaves the session, the environment and the parents that it could be known by.
HIDING = """
import json, os, time
reader, writer = os.pipe()
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.write(writer, str(os.getpid()).encode())
        os.execve("/bin/sleep", ["sleep", "600"], {})
    os._exit(0)
os.wait()
print(json.dumps({"hidden": int(os.read(reader, 20))}), flush=True)
time.sleep(600)
"""
LEAVING = """
import json, subprocess, sys
left = subprocess.Popen([sys.executable, "-S", "-c", "import time; time.sleep(600)"], start_new_session=True)
print(json.dumps({"left": left.pid}), flush=True)
"""
FILLING = """
import json, os, time
print(json.dumps({"scratch": os.environ["TMPDIR"]}), flush=True)
for number in range(6):
    with open(os.environ["TMPDIR"] + f"/{number}", "wb") as file:
        file.write(os.urandom(4 * 2**20))
time.sleep(600)
"""
ONE_FILE = """
import json, os, time
with open(os.environ["TMPDIR"] + "/one", "wb", buffering=0) as file:
    try:
        while True:
            file.write(bytes(2**20))
    except OSError as error:
        print(json.dumps({"error": os.strerror(error.errno), "size": file.tell()}), flush=True)
time.sleep(600)
"""
DEEP = """
import json, os, time
os.chdir(os.environ["TMPDIR"])
for _ in range(3000):
    os.mkdir("deeper")
    os.chdir("deeper")
print(json.dumps({"scratch": os.environ["TMPDIR"]}), flush=True)
time.sleep(600)
"""

SLEEPING = """
import json, os, sys, time
scratch, app = os.environ["TMPDIR"], sys.argv[2]
open(scratch + "/own", "w").write("own")
print(json.dumps({"pid": os.getpid(), "scratch": scratch, "app": app}), flush=True)
time.sleep(600)
"""
TRYING = """
import json, os, resource, sys, time
def attempt(action):
    try:
        return action() or "possible"
    except OSError as error:
        return os.strerror(error.errno)
"""
SPYING = (
    TRYING
    + """
def read(path):
    return str(os.listdir(path) if os.path.isdir(path) else open(path, "rb").read(20))
print(json.dumps({"found": {path: attempt(lambda: read(path)) for path in sys.argv[5:]}}), flush=True)
time.sleep(600)
"""
)
SIGNALLING = (
    TRYING
    + """
found = {pid: attempt(lambda: os.kill(int(pid), 0)) for pid in sys.argv[5:]}
print(json.dumps({"found": found}), flush=True)
time.sleep(600)
"""
)
WRITING = (
    TRYING
    + """
home = os.path.dirname(sys.argv[2])
def write(path):
    with open(os.path.join(home, path), "w") as file:
        return f"written with mode {os.stat(file.fileno()).st_mode & 0o777:o}"
found = {path: attempt(lambda: write(path)) for path in (
    "app/project/new", "app/project/nothing.txt", "app/placet.json", "../new", "tmp/new"
)}
found["chmod app/placet.json"] = attempt(lambda: os.chmod(home + "/app/placet.json", 0o666))
print(json.dumps(found), flush=True)
time.sleep(600)
"""
)
LOOKING_AT_ITSELF = (
    TRYING
    + """
status = dict(line.split(":", 1) for line in open("/proc/self/status"))
names = ("CORE", "NOFILE", "NPROC", "FSIZE")
limits = {name: resource.getrlimit(getattr(resource, "RLIMIT_" + name)) for name in names}
descriptors = sorted(map(int, os.listdir("/proc/self/fd")))
print(json.dumps({
    "user": os.getuid(), "group": os.getgid(), "groups": os.getgroups(),
    "capabilities": int(status["CapPrm"], 16), "no_new_privs": int(status["NoNewPrivs"]),
    "descriptors": [each for each in descriptors if os.path.exists(f"/proc/self/fd/{each}")],
    "app": sys.argv[2], "listener": sys.argv[4], "umask": os.umask(0),
    "limits": {name: soft for name, (soft, hard) in limits.items() if soft == hard},
    "is_session_leader": os.getsid(0) == os.getpid(),
}), flush=True)
time.sleep(600)
"""
)


@pytest.fixture
def registry(tmp_path: Path) -> ImageLayout:
    return ImageLayout(tmp_path / "registry")


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
async def host(kind: str, registry: ImageLayout, tmp_path: Path) -> AsyncIterator[LocalProcesses]:
    with some_lodgings(kind, tmp_path) as lodgings:
        host = process_host(tmp_path, registry, lodgings)
        await host.adopt()
        yield host
        await host.stop_all()


async def start(
    host: LocalProcesses, registry: ImageLayout, code: str, *, release: int = 1, reads: Sequence[str] = ()
) -> Instance:
    """Run an image whose model server is `code`; what it `reads` is in its `sys.argv[5:]`, as if it had guessed it."""
    files = {
        "app/serving/placet/runtime/__main__.py": f"import sys; sys.argv += {list(reads)!r}\n{code}",
        "app/project/nothing.txt": "",
        "app/placet.json": json.dumps({"project": "churn", "format": "onnx", "path": "model.onnx"}),
    }
    content = layer(files)
    kept = await registry.put_blob("models/churn", content, media_type=OCI_LAYER)
    config = ImageConfig(
        platform=Platform(os="linux", architecture="amd64"),
        diff_ids=(sha256_digest(content),),
        labels={"io.placet.python": PYTHON_HERE, "io.placet.base": "none"},
    )
    configured = await registry.put_blob("models/churn", config.encode(), media_type=OCI_CONFIG)
    manifest = Manifest.image(config=configured, layers=[kept])
    image = await registry.put_manifest("models/churn", manifest)
    return await host.start(
        InstanceSpec(
            project="churn",
            release=release,
            image=image,
            repository="models/churn",
            access="public",
            amount=Amount(cpu_millis=500, memory_bytes=2**29),
            endpoint=None,
        )
    )


async def said(host: LocalProcesses, id: str) -> Any:
    """The document in which a model tells what it found, once it has."""

    async def look() -> Any:
        words = await log(host, id)
        return json.loads(words) if words.endswith(b"}\n") else None

    return await eventually(look)


async def ended(host: LocalProcesses) -> Instance | None:
    (instance,) = await host.list()
    return None if instance.is_running else instance


async def test_a_model_that_ends_itself_by_a_nameless_signal_ends_nobody_else(
    host: LocalProcesses, registry: ImageLayout
) -> None:
    await start(host, registry, "import os; os.kill(os.getpid(), 40)")

    found: Any = await eventually(lambda: ended(host))
    assert found.why == "it was ended by signal 40"


class EndsWhileLookedAt(SameUser):
    """Ends who lives in it between two questions of one look."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.pid: int | None = None

    def scratch(self, id: str) -> Path:
        if self.pid is not None:
            os.kill(self.pid, signal.SIGKILL)
            os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT)
            self.pid = None
        return super().scratch(id)


async def test_a_model_that_ends_while_it_is_looked_at_is_never_over_without_a_reason(
    registry: ImageLayout, tmp_path: Path
) -> None:
    lodgings = EndsWhileLookedAt(tmp_path / "instances")
    host = process_host(tmp_path, registry, lodgings)
    started = await start(host, registry, SLEEPING)
    lodgings.pid = (await said(host, started.id))["pid"]

    looks = [instance for _ in range(2) for instance in await host.list()]

    assert [(each.is_running, each.why) for each in looks] == [(True, ""), (False, "it was ended by SIGKILL")]
    assert lodgings.pid is None
    await host.stop_all()


async def test_what_a_model_starts_counts_and_ends_with_it(
    host: LocalProcesses, registry: ImageLayout
) -> None:
    started = await start(host, registry, CHILD)

    async def words() -> list[str]:
        said = (await host.last_words(started.id)).split()
        return said if "held" in said else []

    said = await eventually(words)
    child = psutil.Process(int(said[said.index("child") + 1]))
    (instance,) = await host.list()
    assert instance.memory_bytes > 64 * 2**20

    await host.stop(started.id)

    await eventually(lambda: not _is_alive(child))


async def test_the_last_words_of_a_model_fit_into_an_event(
    host: LocalProcesses, registry: ImageLayout
) -> None:
    started = await start(host, registry, "print('x' * 3_000_000)")

    await eventually(lambda: ended(host))
    assert len(await host.last_words(started.id)) <= LAST_BYTES


async def test_the_last_words_of_a_model_are_text_that_every_database_keeps(
    host: LocalProcesses, registry: ImageLayout
) -> None:
    started = await start(host, registry, r"print('over \0 and out')")

    await eventually(lambda: ended(host))
    assert (await host.last_words(started.id)).endswith(r"over \x00 and out")


async def test_what_a_model_leaves_behind_when_it_ends_itself_ends_too(
    host: LocalProcesses, registry: ImageLayout
) -> None:
    started = await start(host, registry, LEAVING)
    left = psutil.Process((await said(host, started.id))["left"])

    found: Any = await eventually(lambda: ended(host))

    assert found.why == "it ended with status 0"
    assert not _is_alive(left)


async def test_a_log_without_lines_keeps_its_end(
    host: LocalProcesses, registry: ImageLayout, tmp_path: Path
) -> None:
    started = await start(host, registry, "print('x' * 200_000 + 'the end', end='')")

    await eventually(lambda: ended(host))

    async def has_all() -> bool:  # what a process wrote is read on after its end
        return (await host.last_words(started.id)).endswith("the end")

    await eventually(has_all)
    assert (tmp_path / "instances" / started.id / "log").stat().st_size == 2**15


async def test_what_fills_its_scratch_folder_is_ended_and_the_folder_emptied(
    host: LocalProcesses, registry: ImageLayout
) -> None:
    started = await start(host, registry, FILLING)
    scratch = Path((await said(host, started.id))["scratch"])

    found: Any = await eventually(lambda: ended(host))

    assert found.why == "it wrote more than 16 MiB, or than can be counted, to its scratch folder"
    assert not await asyncio.to_thread(scratch.exists)
    assert not found.is_running


async def test_a_file_gets_no_larger_than_all_may_be(host: LocalProcesses, registry: ImageLayout) -> None:
    started = await start(host, registry, ONE_FILE)

    assert await said(host, started.id) == {"error": "File too large", "size": 2**24}


async def test_folders_deeper_than_any_path_stop_nobody(host: LocalProcesses, registry: ImageLayout) -> None:
    started = await start(host, registry, DEEP)
    scratch = Path((await said(host, started.id))["scratch"])

    found: Any = await eventually(lambda: ended(host))

    assert found.why == "it wrote more than 16 MiB, or than can be counted, to its scratch folder"
    assert not await asyncio.to_thread(scratch.exists)


def image_of(itself: dict[str, Any]) -> Path:
    """Where the image of an instance lies that says this of itself."""
    return Path(itself["app"]).resolve().parent


def alive_of(user: int) -> list[psutil.Process]:
    return [process for process, _ in processes_of({user}) if _is_alive(process)]


def _is_alive(process: psutil.Process) -> bool:
    try:
        os.kill(process.pid, 0)
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except (ProcessLookupError, psutil.Error):
        return False


class TestUsersOfTheirOwn:
    """What a model finds that has a user of its own. Of one user for all nothing of this is promised."""

    @pytest.fixture(params=["own users"])
    def kind(self, request: pytest.FixtureRequest) -> str:
        return str(request.param)

    async def test_what_hides_from_its_host_ends_with_the_model(
        self, host: LocalProcesses, registry: ImageLayout
    ) -> None:
        started = await start(host, registry, HIDING)
        hidden = psutil.Process((await said(host, started.id))["hidden"])

        await host.stop(started.id)

        assert not _is_alive(hidden)

    async def test_what_starts_others_without_end_is_bounded_and_ends(
        self, host: LocalProcesses, registry: ImageLayout
    ) -> None:
        started = await start(host, registry, BOMB)
        user = (await said(host, started.id))["user"]
        await eventually(lambda: len(alive_of(user)) == PROCESSES)

        await host.stop(started.id)

        assert alive_of(user) == []

    async def test_it_reads_no_key_no_database_and_no_other_model(
        self, host: LocalProcesses, registry: ImageLayout, tmp_path: Path
    ) -> None:
        data = tmp_path / "data"
        data.mkdir(mode=0o700)  # as the platform makes it
        own_key(data / "keys" / "tokens.pem")
        wiring = await Wiring.embedded("deployer", data=data / "log", hub=InProcessHub())
        await wiring.store.close()
        other = await start(host, registry, SLEEPING, release=1)
        it = await said(host, other.id)
        closed = [
            *(data / "keys" / "tokens.pem", data / "log" / "deployer.db"),
            *(tmp_path / "instances" / other.id / name for name in ("instance.json", "log")),
            *(tmp_path / "unpacked", Path(it["scratch"], "own"), Path(it["app"], "placet.json")),
            image_of(it) / "app" / "placet.json",
            *(Path(f"/proc/{pid}/environ") for pid in (it["pid"], os.getpid())),
        ]
        assert all(each.exists() for each in closed)

        started = await start(host, registry, SPYING, release=2, reads=[str(each) for each in closed])

        found = (await said(host, started.id))["found"]
        assert found == {str(each): "Permission denied" for each in closed}

    async def test_it_signals_nobody(self, host: LocalProcesses, registry: ImageLayout) -> None:
        other = await start(host, registry, SLEEPING, release=1)
        pids = [str((await said(host, other.id))["pid"]), str(os.getpid()), str(os.getppid())]

        started = await start(host, registry, SIGNALLING, release=2, reads=pids)

        assert (await said(host, started.id))["found"] == dict.fromkeys(pids, "Operation not permitted")
        assert {each.id for each in await host.list() if each.is_running} == {other.id, started.id}

    async def test_it_writes_to_its_scratch_folder_and_not_to_its_image(
        self, host: LocalProcesses, registry: ImageLayout
    ) -> None:
        started = await start(host, registry, WRITING)

        assert (await said(host, started.id)) == {
            "app/project/new": "Permission denied",
            "app/project/nothing.txt": "Permission denied",
            "app/placet.json": "Permission denied",
            "chmod app/placet.json": "Operation not permitted",
            "../new": "Permission denied",
            "tmp/new": "written with mode 600",
        }

    async def test_it_starts_with_nothing_that_it_does_not_need(
        self, host: LocalProcesses, registry: ImageLayout
    ) -> None:
        started = await start(host, registry, LOOKING_AT_ITSELF)

        itself = await said(host, started.id)
        assert itself["user"] == itself["group"] != 0
        assert itself["groups"] == [image_of(itself).stat().st_gid]
        assert itself["groups"] != [itself["group"]]
        assert itself["capabilities"] == 0
        assert itself["no_new_privs"] == 1
        assert itself["descriptors"] == [0, 1, 2, int(itself["listener"])]
        assert itself["umask"] == 0o077
        assert itself["limits"] == {"CORE": 0, "NOFILE": 4096, "NPROC": PROCESSES, "FSIZE": 2**24}
        assert itself["is_session_leader"]

    async def test_every_start_is_somebody_new(self, host: LocalProcesses, registry: ImageLayout) -> None:
        users = []
        for _ in range(2):
            started = await start(host, registry, LOOKING_AT_ITSELF)
            users.append((await said(host, started.id))["user"])
            await host.forget(started.id)

        assert users[0] != users[1]
