"""Build one Lambda layer into a folder, for an interpreter and processors this machine may lack.

    python tools/build_layer.py {dependencies,shared} FOLDER

The layer fits both of Lambda's processors, because `sam build` does not tell which of them the
template's parameter will name. LAYER_ARCHITECTURE (arm64 or x86_64) keeps it to one, LAYER_PYTHON
(default 3.13) names another interpreter. `sam build` shows what is printed to standard output,
and hides standard error unless the build fails.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

LAYERS = Path(__file__).resolve().parent.parent / "layers"
ON_LAMBDA = "/opt"  # where Lambda unpacks a layer
NOT_ON_LAMBDA = ("cli", "__main__.py", "__pycache__")
# Nothing reads these at run time. Licences and METADATA stay: the first are owed, and
# importlib.metadata reads the second.
PRUNED = ("bin", "**/__pycache__", "**/tests", "**/*.pyi", "*.dist-info/RECORD")
PROCESSORS = {"arm64": "aarch64", "x86_64": "x86_64"}


def install_dependencies(folder: Path, python: str, architecture: str) -> None:
    """Install the locked packages as wheels for the target; their hashes decide what may come.

    Into a folder that holds them for another processor already, this adds what differs: compiled
    modules, whose file names say which processor they are for.
    """
    libcs = ["manylinux2014", "manylinux_2_17"]
    if python not in ("3.10", "3.11"):  # from 3.12 on, the runtime is Amazon Linux 2023
        libcs.append("manylinux_2_28")
    platforms = [f"{libc}_{PROCESSORS[architecture]}" for libc in libcs]
    with tempfile.TemporaryDirectory() as fresh:
        subprocess.run(
            [
                *(sys.executable, "-m", "pip", "install", "-qq", "--disable-pip-version-check"),
                *("--root-user-action=ignore", "--no-compile", "--no-deps", "--require-hashes"),
                *("--only-binary=:all:", "--python-version", python, "--implementation", "cp"),
                *(flag for platform in platforms for flag in ("--platform", platform)),
                *("--requirement", str(LAYERS / "dependencies" / "requirements.txt")),
                *("--target", fresh),
            ],
            check=True,
        )
        shutil.copytree(fresh, folder, dirs_exist_ok=True)
    for pattern in PRUNED:
        for path in list(folder.glob(pattern)):
            shutil.rmtree(path) if path.is_dir() else path.unlink()


def copy_shared(folder: Path) -> None:
    """Copy our own package without its command line."""
    package = "mfa_watcher"
    shutil.copytree(
        LAYERS / "shared" / package, folder / package, ignore=shutil.ignore_patterns(*NOT_ON_LAMBDA)
    )


def find_interpreter(python: str) -> str | None:
    """Find a working interpreter of the target's version: the name on PATH may be a pyenv shim."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    candidates = [f"python{python}", *map(str, pyenv.glob(f"{python}.*/bin/python{python}"))]
    for candidate in candidates:
        try:
            subprocess.run([candidate, "-c", ""], check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError):
            continue
        return candidate
    return None


def compile_bytecode(folder: Path, interpreter: str) -> None:
    """Add bytecode that stays valid whatever times zipping gives the files (unchecked hash)."""
    subprocess.run(
        [
            *(interpreter, "-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash"),
            *("-s", str(folder.parent), "-p", ON_LAMBDA, str(folder)),
        ],
        check=True,
        env={**os.environ, "PYTHONHASHSEED": "0"},  # the same sources make the same bytes
    )


def main() -> None:
    """Build the layer that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("layer", choices=["dependencies", "shared"])
    parser.add_argument("folder", type=Path)
    arguments = parser.parse_args()
    python = os.environ.get("LAYER_PYTHON", "3.13")
    wanted = os.environ.get("LAYER_ARCHITECTURE")
    architectures = [wanted] if wanted else list(PROCESSORS)
    if not PROCESSORS.keys() >= set(architectures):
        parser.error(f"LAYER_ARCHITECTURE is {wanted!r}, not one of {', '.join(PROCESSORS)}")

    folder = arguments.folder.resolve() / "python"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    match arguments.layer:
        case "dependencies":
            for architecture in architectures:
                install_dependencies(folder, python, architecture)
            target = f"Python {python}, {' and '.join(architectures)}"
        case _:
            copy_shared(folder)
            target = f"Python {python}"

    interpreter = find_interpreter(python)
    if interpreter:
        compile_bytecode(folder, interpreter)
    bytecode = "bytecode included" if interpreter else f"NO BYTECODE: no python{python} found here"
    print(f"layer {arguments.layer}: {target}, {bytecode}", flush=True)
    if not interpreter:
        print("  It works, but every cold start compiles it anew and takes about 4 times as long.")


if __name__ == "__main__":
    main()
