"""What is built and installed works inside somebody's project, which has folders of the same names as aal's."""

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

from aal.__main__ import main
from tests.commands import ROOT, SMALL
from tests.test_readme import block

PACKAGED = ("aal", "callbacks", "datamodules", "configs", "pyproject.toml", "README.md", "LICENSE")
WITH, WITHOUT = "with __init__.py", "without __init__.py"
STRATEGY = "--query.init_args.strategy=callbacks.mine.Typical"
STUDY = """
name: tiny
configs: [aal:experiment/collision_digits, {query: random, poison: none}, own.yaml]
seeds: 1
table: labels
settings: {columns: [22]}
arms: {mine: []}
rows: [{arm: mine}]
"""
CLOCK = "import aal.callbacks\n\nclass QueryRounds(aal.callbacks.QueryRounds):\n    pass\n"
OWN = "query: {init_args: {strategy: {class_path: callbacks.mine.Typical}, budget: 2, max_epochs: 2}}\n"


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Copy what is packaged and build a source archive of it, and a wheel of what is in the archive."""
    folder = tmp_path_factory.mktemp("built")
    source = folder / "source"
    source.mkdir()
    for name in PACKAGED:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, source / name, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, source / name)
    build(source, "sdist", folder)
    with tarfile.open(next(folder.glob("*.tar.gz"))) as archive:
        archive.extractall(folder / "unpacked", filter="data")
    build(next((folder / "unpacked").iterdir()), "wheel", folder)
    with zipfile.ZipFile(next(folder.glob("*.whl"))) as wheel:
        wheel.extractall(folder / "installed")
    return folder


@pytest.fixture
def project(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """Make a project with folders of its own, which may be packages without the file, and a strategy in one of them."""
    folder = tmp_path / "project"
    for name in ("callbacks", "datamodules", "configs", "tests"):
        (folder / name).mkdir(parents=True)
        if request.param == WITH:
            (folder / name / "__init__.py").touch()
    (folder / "callbacks" / "mine.py").write_text(block("class Typical"))
    (folder / "study.yaml").write_text(STUDY)
    (folder / "own.yaml").write_text(OWN)
    return folder


def build(source: Path, kind: str, folder: Path) -> None:
    """Build without an environment of its own: nothing is downloaded."""
    code = f"from setuptools import build_meta; build_meta.build_{kind}({str(folder)!r})"
    run = subprocess.run([sys.executable, "-c", code], cwd=source, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr


def command(
    project: Path, *arguments: str, path: Path | None = None, python: str = sys.executable
) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(path or "")}
    return subprocess.run(
        [python, "-m", "aal", *arguments],
        cwd=project,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def fit_in(project: Path, python: str, *arguments: str, path: Path | None = None) -> None:
    run = command(
        *(project, "fit", "--experiment", "collision_digits", "--query", "margin", *SMALL, "--poison=null", STRATEGY),
        *("--out", "run", *arguments),
        python=python,
        path=path,
    )
    assert run.returncode == 0, run.stderr
    assert "class_path: callbacks.mine.Typical" in (project / "run" / "config.yaml").read_text()


@pytest.mark.slow
def test_a_wheel_has_everything_and_nothing_beside_aal(built: Path) -> None:
    installed = built / "installed"
    assert [path.name for path in installed.iterdir() if not path.name.endswith(".dist-info")] == ["aal"]
    kinds = ("*.py", "*.yaml", "*.html", "py.typed", "*.safetensors")
    source = {path.relative_to(ROOT) for kind in kinds for path in (ROOT / "aal").rglob(kind)}
    for name in ("callbacks", "datamodules", "configs"):  # pathlib does not follow links
        source |= {Path("aal", name, path.relative_to(ROOT / name)) for path in (ROOT / name).rglob("*.[py]*")}
    wanted = {path for path in source if "__pycache__" not in path.parts}
    assert wanted == {path for path in wanted if (installed / path).is_file()}


@pytest.mark.slow
@pytest.mark.parametrize("project", [WITH], indirect=True)
def test_a_wheel_works_in_a_project_with_folders_of_the_same_names(built: Path, project: Path) -> None:
    installed = built / "installed"
    helped = command(project, "fit", "--help", path=installed)
    assert helped.returncode == 0, helped.stderr
    assert "query/margin" in command(project, "configs", "list", path=installed).stdout
    study = command(project, "study", "run", "study.yaml", "--out", "study", "--jobs", "1", path=installed)
    assert study.returncode == 0, study.stdout + study.stderr
    assert "class_path: callbacks.mine.Typical" in (project / "study" / "mine" / "seed=0" / "config.yaml").read_text()


@pytest.mark.slow
@pytest.mark.parametrize("project", [WITHOUT], indirect=True)
def test_an_editable_install_works_in_such_a_project(built: Path, project: Path, tmp_path: Path) -> None:
    venv.create(tmp_path / "env", symlinks=True)
    packages = next((tmp_path / "env").glob("lib/python*/site-packages"))
    (packages / "those_of_the_tests.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
    python = str(tmp_path / "env" / "bin" / "python")
    options = ("--no-deps", "--no-build-isolation", "--quiet", "--disable-pip-version-check", "--editable")
    pip = [sys.executable, "-m", "pip", "--python", python, "install", *options, str(built / "source")]
    made = subprocess.run(pip, capture_output=True, text=True, check=False)
    assert made.returncode == 0, made.stderr
    fit_in(project, python)
    script = subprocess.run(
        [tmp_path / "env" / "bin" / "aal", "configs", "show", "query/margin"],
        cwd=project,
        capture_output=True,
        text=True,
        check=False,
    )
    assert script.stdout == (ROOT / "configs" / "query" / "margin.yaml").read_text()


@pytest.mark.slow
@pytest.mark.parametrize("project", [WITH, WITHOUT], indirect=True)
def test_a_clone_works_in_such_a_project(project: Path) -> None:
    package = project / "callbacks" / "__init__.py"
    if package.exists():  # a class of the name that one of aal's had once
        package.write_text(CLOCK)
        for _ in range(2):
            fit_in(project, sys.executable, "--query.class_path=callbacks.QueryRounds", "--ckpt_path=last", path=ROOT)
        assert "class_path: callbacks.QueryRounds" in (project / "run" / "config.yaml").read_text()
    else:
        fit_in(project, sys.executable, path=ROOT)
        refused = command(project, "fit", "--query=callbacks.QueryRounds", path=ROOT)
        assert "callbacks.QueryRounds: is called aal.callbacks.QueryRounds now" in refused.stderr


@pytest.mark.parametrize("project", [WITHOUT], indirect=True)
def test_a_clones_own_package_gives_way_to_the_projects_in_python_too(project: Path) -> None:
    code = """
import callbacks.mine, datamodules, sys
assert "aal.callbacks" not in sys.modules or callbacks is not sys.modules["aal.callbacks"]
print(callbacks.mine.__file__, hasattr(callbacks, "QueryRounds"), *datamodules.__path__)
import callbacks.rounds
"""
    run = subprocess.run(
        [sys.executable, "-c", code],
        cwd=project.parent,
        env={**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{project}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.stdout.split() == [str(project / "callbacks" / "mine.py"), "False", str(project / "datamodules")]
    assert run.stderr.endswith("No module named 'callbacks.rounds'\n"), "no second copy of aal's classes"


def test_what_lies_in_the_working_directory_goes_before_what_is_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["aal", "--version"])
    for before in (["/usr/bin"], [str(tmp_path)]):  # as the script finds it, and as python -m aal does
        monkeypatch.setattr(sys, "path", [*before, "/site-packages"])
        with pytest.raises(SystemExit):
            main()
        assert sys.path == [*dict.fromkeys((str(tmp_path), *before, "/site-packages"))]


@pytest.mark.parametrize("left", ["text files", "nothing"])
def test_a_copy_without_links_says_so_in_one_line(left: str, tmp_path: Path) -> None:
    for name in ("callbacks", "datamodules", "configs"):
        (tmp_path / name).symlink_to(ROOT / name)
    linked = [path.name for path in (ROOT / "aal").iterdir() if path.is_symlink()]
    shutil.copytree(ROOT / "aal", tmp_path / "aal", ignore=shutil.ignore_patterns("__pycache__", *linked))
    for name in linked if left == "text files" else ():
        (tmp_path / "aal" / name).write_text(f"../{name}")
    line = r"aal/callbacks is (a text file, not|missing:) a link to the folder callbacks; this copy of aal was "
    for arguments in ("--version", "configs list", "fit --help"):
        run = command(tmp_path, *arguments.split())
        assert (run.returncode, run.stdout) == (2, "")
        assert re.fullmatch(f"error: {line}.*\n", run.stderr)
    for module in ("aal.callbacks", "callbacks"):
        code = [sys.executable, "-c", f"import {module}"]
        run = subprocess.run(code, cwd=tmp_path, capture_output=True, text=True, check=False, env={"PYTHONPATH": ""})
        assert re.match(f"ImportError: {line}", run.stderr.splitlines()[-1])
