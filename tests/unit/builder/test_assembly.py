"""From a project's folder to an image in a registry, with a package index in memory."""

from __future__ import annotations

import asyncio
import inspect
import json
import os
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
from placet.builder import layers_packages
from placet.builder.adapters import compile_files
from placet.builder.adapters.python_compiler import PythonCompiler
from placet.builder.adapters.uv_packages import UvPackages
from placet.builder.assembly import reuse_key
from placet.builder.assembly_image import Base
from placet.builder.layers import fingerprint, write_layer
from placet.builder.layers_packages import MAKERS, PackageLayers
from placet.builder.layers_runtime import recipe, serving_code
from placet.builder.ports import bytecode_at_most
from placet.errors import Refused
from placet.oci import ImageLayout, Manifest, Platform
from placet.oci.content import Descriptor
from placet.projects import Column

from tests.unit.builder.fake_index import FakePackages, Wheel
from tests.unit.builder.sources import FILES, MANIFEST, Shop
from tests.unit.builder.workshop import PLAN, PROJECT, WHEELS, Workshop, put_base


async def test_every_file_has_its_place(workshop: Workshop) -> None:
    files = await workshop.files(await workshop.build(workshop.project(PROJECT)))

    assert files["app/project/models/model.bin"] == b"the model"
    assert files["app/project/src/code.py"] == b"print('never run')"
    assert files["app/deps/light/__init__.py"] == b"x = 1"
    assert files["app/deps/heavy/__init__.py"] == b"z = 3"
    assert files["app/serving/server.py"] == b"s = 4"
    assert "app/serving/placet/runtime/__init__.py" in files
    assert "app/serving/light/__init__.py" not in files
    assert json.loads(files["app/placet.json"]) == {
        "project": "churn",
        "format": "python",
        "path": "models/model.bin",
        "sample": "sample.json",
        "trusted": ["a.Type", "b.Type"],
    }


async def test_a_file_inside_of_what_mlflow_wrote_is_served_and_mlflow_stays_out(workshop: Workshop) -> None:
    plan = replace(
        PLAN,
        format="sklearn",
        declared_format="mlflow",
        columns=(Column(name="age", type="long"), Column(name="city", type="string", required=False)),
        left_out=frozenset({"heavy"}),
    )
    needed = {name: Wheel("1.0", {f"{name}.py": b"n = 1"}) for name in ("scikit-learn", "pandas")}
    workshop.packages.wheels = {**WHEELS, **needed}
    image = await workshop.build(workshop.project(PROJECT), plan)

    files = await workshop.files(image)
    settings = json.loads(files["app/placet.json"])
    assert (settings["format"], settings["path"]) == ("sklearn", "models/model.bin")
    assert settings["columns"] == [
        {"name": "age", "type": "long", "required": True},
        {"name": "city", "type": "string", "required": False},
    ]
    assert dict((await workshop.config(image)).labels)["io.placet.format"] == "mlflow"
    lock = files["app/requirements.lock"].decode()
    assert "heavy" not in lock
    assert "pandas==" in lock, "the frame that its columns make"
    assert any("heavy" in line and "out" in line for line in workshop.log)


async def test_what_mlflow_itself_loads_is_the_whole_folder_and_mlflow_is_in_the_image(
    workshop: Workshop,
) -> None:
    folder = {f"wine/{name}": b"w" for name in ("MLmodel", "code.py", "artifacts/rate.txt")}
    plan = replace(PLAN, format="mlflow", declared_format="mlflow", model="wine")
    needed = {name: Wheel("3.0", {f"{name}.py": b"n = 1"}) for name in ("mlflow-skinny", "mlflow", "pandas")}
    workshop.packages.wheels = {**WHEELS, **needed}
    image = await workshop.build(workshop.project(PROJECT | folder), plan)

    files = await workshop.files(image)
    settings = json.loads(files["app/placet.json"])
    assert (settings["format"], settings["path"]) == ("mlflow", "wine")
    assert {f"app/project/{name}" for name in folder} <= files.keys()
    assert "mlflow-skinny==3.0" in files["app/requirements.lock"].decode()
    assert (
        "added mlflow-skinny, which the format mlflow needs and the requirements do not name" in workshop.log
    )
    with_its_own = {**PROJECT, **folder, "requirements.txt": PROJECT["requirements.txt"] + b"\nmlflow==3.0\n"}
    files = await workshop.files(await workshop.build(workshop.project(with_its_own), plan))
    lock = files["app/requirements.lock"].decode()
    assert "mlflow==3.0" in lock
    assert "mlflow-skinny" not in lock


async def test_the_runtime_is_told_of_a_model_that_it_may_unpickle(workshop: Workshop) -> None:
    project = workshop.project(PROJECT)
    for is_pickle in (False, True):
        image = await workshop.build(project, replace(PLAN, is_pickle=is_pickle))
        settings = json.loads((await workshop.files(image))["app/placet.json"])
        assert settings.get("pickle", False) is is_pickle


async def test_the_runtime_is_told_of_a_method_where_the_model_is_asked_by_one(workshop: Workshop) -> None:
    project = workshop.project(PROJECT)
    for method in (None, "predict_proba"):
        image = await workshop.build(project, replace(PLAN, method=method))
        settings = json.loads((await workshop.files(image))["app/placet.json"])
        assert settings.get("method") == method


async def test_the_runtime_is_told_of_a_reference_where_there_is_one(workshop: Workshop) -> None:
    project = workshop.project({**PROJECT, "data/rows.csv": b"a\n1\n"})
    files = await workshop.files(await workshop.build(project, replace(PLAN, reference="data/rows.csv")))

    assert json.loads(files["app/placet.json"])["reference"] == "data/rows.csv"
    assert files["app/project/data/rows.csv"] == b"a\n1\n"
    with pytest.raises(Refused, match=r"the project has no data/none\.csv"):
        await workshop.build(project, replace(PLAN, reference="data/none.csv"))


async def test_cases_of_people_that_a_model_was_tried_on_are_not_in_its_image(workshop: Workshop) -> None:
    project = workshop.project({**PROJECT, "evaluation.csv": b"sex,y\nf,1\n"})
    files = await workshop.files(await workshop.build(project, replace(PLAN, evaluation="evaluation.csv")))

    assert "app/project/src/code.py" in files
    assert "app/project/evaluation.csv" not in files


async def test_bytecode_lies_beside_what_it_is_of_and_not_beside_tests(workshop: Workshop) -> None:
    files = await workshop.files(await workshop.build(workshop.project(PROJECT)))

    bytecode = files["app/deps/light/__pycache__/__init__.cpython-311.pyc"]
    assert bytecode == b"bytecode of /app/deps/light/__init__.py"
    assert "app/serving/__pycache__/server.cpython-311.pyc" in files
    assert not [path for path in files if "tests/__pycache__" in path]


async def test_a_python_that_is_not_ours_gets_no_bytecode(workshop: Workshop) -> None:
    files = await workshop.files(await workshop.build(workshop.project(PROJECT), python="cp312"))

    assert "app/deps/light/__init__.py" in files
    assert not [path for path in files if path.endswith(".pyc")]


async def test_what_names_the_installing_machine_is_left_out(workshop: Workshop) -> None:
    files = await workshop.files(await workshop.build(workshop.project(PROJECT)))

    assert not [path for path in files if path.endswith(("/REQUESTED", "/.lock")) or "/bin/" in path]
    assert files["app/deps/light-1.0.dist-info/RECORD"] == b"light-1.0.dist-info/RECORD,,\n"


async def test_the_image_says_what_it_is_and_how_it_runs(workshop: Workshop) -> None:
    image = await workshop.build(workshop.project(PROJECT))

    config = await workshop.config(image)
    assert config.cmd[:6] == ("python", "-S", "-s", "-P", "-m", "placet.runtime")
    assert config.cmd[6:] == ("--root", "/app", "--host", "0.0.0.0", "--port", "8080")
    assert config.env["PYTHONPATH"] == "/app/serving:/app/deps"
    assert (config.user, config.working_dir) == ("65532", "/app/project")
    assert dict(config.labels) == {
        "org.opencontainers.image.title": "churn",
        "io.placet.project": "churn",
        "io.placet.source": PLAN.source,
        "io.placet.format": "python",
        "io.placet.lock": image.lock_digest,
        "io.placet.python": "cp311",
        "io.placet.builder": "1.0",
        "io.placet.base": "none",
        "io.placet.base.layers": "0",
    }


async def test_the_same_project_gives_the_same_digest_elsewhere(workshop: Workshop, tmp_path: Path) -> None:
    first = await workshop.build(workshop.project(PROJECT))
    elsewhere = Workshop(tmp_path / "elsewhere")
    before = os.umask(0o077)
    try:
        project = elsewhere.project(dict(reversed(PROJECT.items())), "another folder")
        second = await elsewhere.build(project)
    finally:
        os.umask(before)

    assert second.digest == first.digest


async def test_an_executable_file_stays_executable_and_changes_the_digest(workshop: Workshop) -> None:
    project = workshop.project(PROJECT)
    first = await workshop.build(project)
    os.chmod(project / "src" / "code.py", 0o700)

    second = await workshop.build(project)

    assert second.digest != first.digest


async def test_heavy_packages_have_layers_of_their_own(workshop: Workshop) -> None:
    image = await workshop.build(workshop.project(PROJECT))

    assert image.layers == (
        "heavy: heavy 2.0",
        "deps: light 1.0",
        "serving: server 3.0",
        "model models/model.bin",
        "code",
    )


async def test_of_very_many_heavy_packages_the_lightest_share_a_layer(workshop: Workshop) -> None:
    """Container engines mount 127 layers at most."""
    names = [f"heavy{number:02}" for number in range(43)]
    weights = {name: 600_000 + number for number, name in enumerate(names)}
    workshop.packages.wheels = WHEELS | {
        name: Wheel("1", {f"{name}.bin": bytes(weight)}) for name, weight in weights.items()
    }
    project = workshop.project({**PROJECT, "requirements.txt": "\n".join(names).encode()})

    image = await workshop.build(project)

    assert image.layers[:40] == tuple(f"{name}: {name} 1" for name in reversed(names[3:]))
    assert image.layers[40] == "deps: heavy00 1, heavy01 1, heavy02 1"


async def test_a_second_build_installs_and_sends_nothing(workshop: Workshop) -> None:
    project = workshop.project(PROJECT)
    first = await workshop.build(project)
    assert sorted(workshop.packages.fetched) == sorted(workshop.packages.installed)
    workshop.packages.installed.clear()
    workshop.packages.fetched.clear()

    second = await workshop.build(project)

    assert second == replace(first, sent=0)
    assert workshop.packages.installed == workshop.packages.fetched == []


async def test_a_change_of_code_sends_the_code_alone(workshop: Workshop) -> None:
    first = await workshop.build(workshop.project(PROJECT))

    second = await workshop.build(workshop.project({"src/code.py": b"print('changed')"}))

    assert second.digest != first.digest
    assert 0 < second.sent < 5000


async def test_another_project_mounts_the_packages_they_share(workshop: Workshop) -> None:
    await workshop.build(workshop.project(PROJECT))

    other = await workshop.build(
        workshop.project({**PROJECT, "models/model.bin": b"another"}, "other"), repository="models/other"
    )

    assert other.sent < 5000
    assert await workshop.files(other)


async def test_what_one_wheel_brings_does_not_get_into_the_layer_of_another(workshop: Workshop) -> None:
    honest = await workshop.build(workshop.project(PROJECT), cache="apart")
    workshop.packages.wheels = {
        **WHEELS,
        "evil": Wheel("1", {"heavy/__init__.py": b"steal()"}),
    }
    project = workshop.project({**PROJECT, "requirements.txt": b"evil\nheavy\n"}, "evil")
    with pytest.raises(Refused, match="the packages evil and heavy bring heavy/__init__"):
        await workshop.build(project)

    after = await workshop.build(workshop.project(PROJECT))

    assert after.digest == honest.digest


async def test_builds_at_the_same_time_share_a_cache(workshop: Workshop) -> None:
    project = workshop.project(PROJECT)

    images = await asyncio.gather(
        *(workshop.build(project, repository=f"models/m{number}") for number in range(4))
    )

    assert len({image.digest for image in images}) == 1
    assert os.listdir(workshop.folder / "cache" / "work") == []


async def test_a_damaged_cache_is_made_again(workshop: Workshop) -> None:
    project = workshop.project(PROJECT)
    first = await workshop.build(project)
    for name in os.listdir(workshop.folder / "cache" / "blobs"):
        os.truncate(workshop.folder / "cache" / "blobs" / name, 10)
    for name in os.listdir(workshop.folder / "cache" / "known"):
        os.truncate(workshop.folder / "cache" / "known" / name, 0)

    second = await workshop.build(project, repository="models/again")

    assert second.digest == first.digest
    assert await workshop.files(second)


async def test_what_a_crashed_build_left_is_swept(workshop: Workshop) -> None:
    left = workshop.folder / "cache" / "work" / "left"
    left.mkdir(parents=True)

    await workshop.build(workshop.project(PROJECT))

    assert not left.exists()


async def test_a_needed_package_is_added_and_the_log_says_so(workshop: Workshop) -> None:
    workshop.packages.wheels = {**WHEELS, "onnxruntime": Wheel("1", {"onnxruntime.py": b""})}

    image = await workshop.build(workshop.project(PROJECT), replace(PLAN, format="onnx"))

    assert "app/deps/onnxruntime.py" in await workshop.files(image)
    assert any("added onnxruntime" in line for line in workshop.log)


async def test_pandas_is_added_for_a_model_whose_file_picks_columns_by_name(tmp_path: Path) -> None:
    needed = {name: Wheel("1.0", {f"{name}.py": b""}) for name in ("scikit-learn", "skops", "pandas")}
    shop = Shop(tmp_path)
    packages = FakePackages({**WHEELS, **needed}, serving=("server",))
    manifest = MANIFEST.replace(b"python", b"sklearn").replace(b"model.bin", b"model.skops")
    for picked, is_added in ((b'"age"', True), (b"0", False)):
        node = {"__loader__": "JsonNode", "content": picked.decode()}
        with zipfile.ZipFile(tmp_path / "model.skops", "w") as container:
            container.writestr("schema.json", json.dumps([{"feature_names_in_": {}, "_columns": [node]}]))
        model = (tmp_path / "model.skops").read_bytes()
        source = await shop.upload({**FILES, "placet.yaml": manifest, "model.skops": model})
        await shop.workshop(packages=packages).build("churn", 1, source)
        assert ("added pandas" in shop.log()) is is_added
        shop.workshop().log_of("churn", 1).unlink()


@pytest.mark.parametrize(
    ("asked", "brought"),
    [
        (b"light\n", "xgboost-cpu"),
        (b"xgboost\n", "xgboost"),
        (b"xgboost-cpu\n", "xgboost-cpu"),
        (b"xgboost==3\nxgboost-cpu==3\n", "xgboost-cpu"),
    ],
)
async def test_xgboost_comes_without_what_only_a_gpu_needs_unless_the_project_names_it(
    workshop: Workshop, asked: bytes, brought: str
) -> None:
    names = ("xgboost", "xgboost-cpu")
    wheels = {name: Wheel("3", {f"{name}.py": b""}) for name in names}
    workshop.packages.wheels = {**WHEELS, **wheels}
    project = workshop.project({**PROJECT, "requirements.txt": asked})

    files = await workshop.files(await workshop.build(project, replace(PLAN, format="xgboost")))

    assert [name for name in names if f"app/deps/{name}.py" in files] == [brought]


@pytest.mark.parametrize("format", ["xgboost", "sklearn", "mlflow"])
async def test_what_mlflow_writes_where_xgboost_cpu_is_installed_is_built_as_it_stands(
    workshop: Workshop, format: str
) -> None:
    """Both packages bring one library, with other bytes."""
    wheels = {
        "xgboost": Wheel("3", {"xgboost/lib.so": b"GPU"}),
        "xgboost-cpu": Wheel("3", {"xgboost/lib.so": b""}),
    }
    needed = {name: Wheel("3", {}) for name in ("scikit-learn", "skops", "mlflow", "pandas")}
    workshop.packages.wheels = {**WHEELS, **wheels, **needed}
    project = workshop.project({**PROJECT, "requirements.txt": b"mlflow==3\nxgboost-cpu==3\nxgboost==3"})

    files = await workshop.files(await workshop.build(project, replace(PLAN, format=format)))

    assert files["app/deps/xgboost/lib.so"] == b""
    assert "left xgboost==3 out, which is asked for by another of its names, too" in workshop.log


async def test_a_link_in_a_project_is_refused(workshop: Workshop) -> None:
    project = workshop.project(PROJECT)
    os.symlink("/etc/passwd", project / "src" / "link")

    with pytest.raises(Refused, match="link"):
        await workshop.build(project)


@pytest.mark.parametrize("path", ["missing.bin", "../outside", "/etc/passwd"])
async def test_a_model_that_is_not_in_the_project_is_refused(workshop: Workshop, path: str) -> None:
    project = workshop.project(PROJECT)
    workshop.project({"outside": b""}, ".")

    with pytest.raises(Refused, match="the project has no"):
        await workshop.build(project, replace(PLAN, model=path))


@pytest.mark.parametrize(
    "path",
    [
        "placet/runtime/__init__.py",
        "json.py",
        "asyncio/tasks.py",
        "sitecustomize.py",
        "_socket.cpython-311.so",
    ],
)
async def test_a_package_in_the_place_of_python_s_own_or_the_server_s_modules_is_refused(
    workshop: Workshop, path: str
) -> None:
    shadow = Wheel("1.0", {"light/__init__.py": b"x = 1", path: b"x = 2"})
    workshop.packages.wheels = WHEELS | {"light": shadow}

    with pytest.raises(Refused, match=f"the package light brings {path}"):
        await workshop.build(workshop.project(PROJECT))


async def test_a_wheel_that_describes_another_package_too_is_refused(workshop: Workshop) -> None:
    """What comes out of `light-1.0.data/purelib/` is no longer told from the wheel's own."""
    two = Wheel("1.0", {"light/__init__.py": b"x = 1", "aaa-1.dist-info/RECORD": b"\xff,,\n,,\n"})
    workshop.packages.wheels = WHEELS | {"light": two}

    with pytest.raises(Refused, match=r"light brings aaa-1\.dist-info and light-1\.0\.dist-info"):
        await workshop.build(workshop.project(PROJECT))


async def test_what_a_package_brings_of_others_inside_of_it_stays_as_it_is(workshop: Workshop) -> None:
    inside = {"light/_vendor/aaa-1.dist-info/RECORD": b"\xff,,\n,,\n"}
    workshop.packages.wheels = WHEELS | {"light": Wheel("1.0", {"light/__init__.py": b"x = 1"} | inside)}

    files = await workshop.files(await workshop.build(workshop.project(PROJECT)))

    assert {f"app/deps/{path}": content for path, content in inside.items()}.items() <= files.items()


@pytest.mark.parametrize(
    "path",
    [
        "heavy/__init__.py",
        "heavy/_core.cpython-311-x86_64-linux-gnu.so",
        "heavy.libs/libgomp-a34b3233.so.1.0.0",
    ],
)
async def test_a_package_that_overlays_another_s_code_is_refused_with_both_names(
    workshop: Workshop, path: str
) -> None:
    heavy = replace(WHEELS["heavy"], files={**WHEELS["heavy"].files, path: b"a = 1"})
    overlaying = Wheel("1.0", {"light/__init__.py": b"x = 1", path: b"a = 2"})
    workshop.packages.wheels = WHEELS | {"heavy": heavy, "light": overlaying}

    for _ in range(2):  # once looked at, and once remembered
        with pytest.raises(Refused, match=f"the packages heavy and light bring {path}"):
            await workshop.build(workshop.project(PROJECT))
    assert await workshop.registry.repositories() == ()


async def test_a_file_in_the_place_of_another_package_s_folder_is_refused_with_both_names(
    workshop: Workshop,
) -> None:
    heavy = replace(WHEELS["heavy"], files={**WHEELS["heavy"].files, "shared/parts/heavy.json": b"{}"})
    overlaying = Wheel("1.0", {"light/__init__.py": b"x = 1", "shared": b"not a folder"})
    workshop.packages.wheels = WHEELS | {"heavy": heavy, "light": overlaying}

    for _ in range(2):
        with pytest.raises(
            Refused, match="the packages light and heavy bring shared, one of them as a folder"
        ):
            await workshop.build(workshop.project(PROJECT))
    assert await workshop.registry.repositories() == ()


@pytest.mark.parametrize(
    ("path", "other", "is_logged"),
    [
        ("google/__init__.py", b"the same", False),
        ("LICENSE", b"of its own", True),
        ("tests/__init__.py", b"of its own", True),
    ],
)
async def test_files_that_nobody_imports_may_lie_over_one_another(
    workshop: Workshop, path: str, other: bytes, is_logged: bool
) -> None:
    wheels = {
        name: Wheel("1.0", {f"{name}.py": b"", path: content})
        for name, content in {"light": b"the same", "heavy": other}.items()
    }
    workshop.packages.wheels = WHEELS | wheels

    for _ in range(2):
        await workshop.build(workshop.project(PROJECT))

    lines = [line for line in workshop.log if line.startswith(f"{path} is brought with other bytes")]
    assert lines == [f"{path} is brought with other bytes by heavy, light; one is kept"] * (2 * is_logged)


async def test_a_failed_build_leaves_no_work(workshop: Workshop) -> None:
    workshop.packages.wheels = {name: wheel for name, wheel in WHEELS.items() if name != "heavy"}

    with pytest.raises(Refused, match="heavy"):
        await workshop.build(workshop.project(PROJECT))

    assert os.listdir(workshop.folder / "cache" / "work") == []


@pytest.mark.parametrize("place", ["registry", "another registry"])
async def test_a_base_lies_below_with_its_environment(workshop: Workshop, tmp_path: Path, place: str) -> None:
    bases = ImageLayout(tmp_path / place)
    bottom = await put_base(bases)

    image = await workshop.build(
        workshop.project(PROJECT),
        base=Base(registry=bases, repository="bases/python", digest=bottom.digest),
    )

    config = await workshop.config(image)
    manifest = await workshop.registry.manifest(image.repository, image.digest)
    assert manifest.layers[0] == bottom.layers[0]
    assert dict(config.env) == {"PATH": "/usr/bin", "PYTHONPATH": "/app/serving:/app/deps"}
    assert config.labels["io.placet.base"] == f"bases/python@{bottom.digest}"
    assert config.labels["io.placet.base.layers"] == "1"
    assert "app/placet.json" in await workshop.files(image, skip=1)


async def test_of_an_index_the_fitting_base_is_taken(workshop: Workshop) -> None:
    fitting = await put_base(workshop.registry)
    other = await put_base(workshop.registry, architecture="arm64")
    index = Manifest.index(
        [
            Descriptor(
                media_type=one.media_type,
                digest=one.digest,
                size=len(one.body),
                platform=Platform(os="linux", architecture=architecture),
            )
            for one, architecture in [(other, "arm64"), (fitting, "amd64")]
        ]
    )
    await workshop.registry.put_manifest("bases/python", index)

    image = await workshop.build(
        workshop.project(PROJECT),
        base=Base(registry=workshop.registry, repository="bases/python", digest=index.digest),
    )

    manifest = await workshop.registry.manifest(image.repository, image.digest)
    assert manifest.layers[0] == fitting.layers[0]


async def test_a_base_for_another_platform_is_refused(workshop: Workshop) -> None:
    bottom = await put_base(workshop.registry, architecture="arm64")

    with pytest.raises(Refused, match="arm64"):
        await workshop.build(
            workshop.project(PROJECT),
            base=Base(registry=workshop.registry, repository="bases/python", digest=bottom.digest),
        )


def test_what_makes_a_layers_bytes_is_part_of_its_key() -> None:
    made_by = (write_layer, PackageLayers, bytecode_at_most, compile_files, PythonCompiler, UvPackages)
    files = {Path(inspect.getfile(each)) for each in made_by}
    assert {Path(layers_packages.__file__).parent / name for name in MAKERS} == files


def test_the_recipe_is_all_code_that_an_image_is_made_of_or_made_by() -> None:
    code = serving_code("placet-builder").files
    changed = code | {"placet/builder/layers.py": b"another way"}

    assert recipe() == fingerprint(code) != fingerprint(changed)
    assert {
        "placet/runtime/__init__.py",
        "placet/builder/adapters/compile_files.py",
        "placet/oci/content.py",
        "placet/projects/data/trusted_types.yaml",
    } <= set(code)


def test_the_reuse_key_changes_with_each_of_its_parts() -> None:
    parts = {
        "source": "s",
        "base": "none",
        "recipe": "1",
        "python": "cp311",
        "platform": "linux/amd64",
    }
    keys = {reuse_key(**parts), reuse_key(**parts, lock="l")}
    for name in parts:
        keys.add(reuse_key(**{**parts, name: "another"}))

    assert len(keys) == 2 + len(parts)
    assert reuse_key(**parts) == reuse_key(**dict(reversed(parts.items())))
