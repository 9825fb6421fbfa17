"""Start and stop the emulated account: MiniStack behind the bridge, in a process of its own.

The process runs in `.venv-sandbox`, which holds the emulator alone: Lambda functions run under that
interpreter, so a package that is missing in a layer is missing in the sandbox too.
"""

import os
import shutil
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Self

from sandbox.only_this_machine import guarded

ROOT: Final = Path(__file__).resolve().parent.parent
HOME: Final = ROOT / ".sandbox"

ACCOUNT_ID: Final = "111122223333"
REGION: Final = "us-east-1"
# A second account of the same organization, and one outside of it.
MEMBER_ID: Final = "444455556666"
OUTSIDER_ID: Final = "999988887777"
ORGANIZATION_ID: Final = "o-sandbox0org"
# The access key of the account's root user.
ROOT_KEY: Final = "AKIAROOTOFTHESANDBOX"
ROOT_SECRET: Final = "root-of-the-sandbox"  # noqa: S105 - opens nothing but this emulator
DEFAULT_PORT: Final = 4566
READY_WITHIN_SECONDS: Final = 30


class EmulatorError(RuntimeError):
    """The emulator does not run; the message says what to do."""


def interpreter() -> Path:
    """Return the Python that runs the emulator and the functions."""
    found = Path(os.environ.get("SANDBOX_PYTHON", ROOT / ".venv-sandbox" / "bin" / "python"))
    if not found.exists():
        raise EmulatorError(f"no Python at {found}: run `make setup` first")
    return found


def free_port() -> int:
    """Return a port that is free."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def home_of(port: int) -> Path:
    """Return the folder of the account at a port: two accounts share none."""
    return HOME if port == DEFAULT_PORT else HOME / str(port)


@dataclass
class Emulator:
    """One emulated account, in memory, from `start` to `stop`."""

    port: int = DEFAULT_PORT
    home: Path = HOME
    # A further address to listen at, such as Docker's bridge.
    bind: str | None = None
    _process: subprocess.Popen[bytes] | None = field(default=None, init=False)

    @property
    def endpoint(self) -> str:
        """Return the value for AWS_ENDPOINT_URL."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def log(self) -> Path:
        """Return the file with all output of the emulator and the functions."""
        return self.home / "emulator.log"

    def start(self) -> Self:
        """Start, and return when the account answers."""
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                raise EmulatorError(
                    f"port {self.port} is taken, perhaps by another sandbox: "
                    "stop it, or name another port with --port"
                )
        temporary = self.home / "tmp"
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(parents=True)
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                [
                    *(str(interpreter()), "-m", "hypercorn", "sandbox.cloudtrail_bridge:app"),
                    *("--bind", f"127.0.0.1:{self.port}", "--keep-alive", "75"),
                    *(("--bind", f"{self.bind}:{self.port}") if self.bind else ()),
                ],
                cwd=ROOT,
                env=self._environment(temporary),
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # so that stop also ends the functions' processes
            )
        self._wait_until_ready(self._process)
        return self

    def stop(self) -> None:
        """Stop the account and the processes of its functions; all its state is lost."""
        if self._process is None:
            return
        # Nothing has to be saved, so nothing is asked to end in order.
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._process = None
        shutil.rmtree(self.home / "tmp", ignore_errors=True)

    def __enter__(self) -> Self:
        """Start."""
        return self.start()

    def __exit__(self, *_: object) -> None:
        """Stop."""
        self.stop()

    def _environment(self, temporary: Path) -> dict[str, str]:
        """Return an environment without the user's AWS settings, which functions would inherit."""
        kept = {name: os.environ[name] for name in ("HOME", "LANG", "PATH") if name in os.environ}
        variables = {
            "AUTH": "true",
            "AWS_ACCESS_KEY_ID": ROOT_KEY,
            "AWS_SECRET_ACCESS_KEY": ROOT_SECRET,
            "BIND_HOST": "127.0.0.1",
            "GATEWAY_PORT": str(self.port),
            "IOT_MTLS_ENABLED": "0",
            "MINISTACK_ACCOUNT_ID": ACCOUNT_ID,
            # Named, so that a queue has one URL, in a template's `Ref` and when it is looked up.
            "MINISTACK_HOST": "localhost",
            "MINISTACK_REGION": REGION,
            "PYTHONUNBUFFERED": "1",
            "S3_DATA_DIR": str(temporary / "s3"),
            "SFTP_ENABLED": "0",
            "STATE_DIR": str(temporary / "state"),
            "TMPDIR": str(temporary),
        }
        return guarded(kept | variables)

    def _wait_until_ready(self, process: subprocess.Popen[bytes]) -> None:
        url = f"{self.endpoint}/_ministack/ready"
        deadline = time.monotonic() + READY_WITHIN_SECONDS
        while time.monotonic() < deadline:
            if process.poll() is not None:
                break
            try:
                with urllib.request.urlopen(url, timeout=2):  # noqa: S310 - our own loopback address
                    return
            except (urllib.error.URLError, ConnectionError, TimeoutError):
                time.sleep(0.1)
        last = "\n".join(self.log.read_text(errors="replace").splitlines()[-5:])
        self.stop()
        raise EmulatorError(f"the emulator did not start; see {self.log}\n{last}")


def layer_target() -> dict[str, str]:
    """Return what the layers are built for: the emulator's interpreter, on this machine."""
    version = subprocess.run(
        [str(interpreter()), "-c", "import sys; print('%d.%d' % sys.version_info[:2])"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout.strip()
    return {"LAYER_PYTHON": version, "LAYER_ARCHITECTURE": architecture()}


def architecture() -> str:
    """Return this machine's processor by Lambda's name."""
    return "arm64" if os.uname().machine in {"arm64", "aarch64"} else "x86_64"
