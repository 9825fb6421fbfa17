"""Start Python programs from a process that has imported their packages already.

Importing boto3, Pydantic and Powertools takes longer than most of what a function or a command then
does. A server imports them once and forks for each program: a new process with its own environment,
arguments, streams and working directory, which runs the same file from its first line.

Forking is safe here because the server has one thread. Where it is not usual (macOS), programs are
started as they always are.

This file is also the server's program, which the interpreter of the programs runs. It therefore
imports the standard library only.
"""

import atexit
import contextlib
import importlib
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Final

SUPPORTED: Final = sys.platform == "linux"
_LONGEST_MESSAGE: Final = 1 << 20
_STREAMS: Final = 3


class Process:
    """A started program, with the part of `subprocess.Popen`'s interface that MiniStack uses."""

    def __init__(self, pid: int, streams: tuple[IO[str], IO[str], IO[str]], alive: int) -> None:
        """Take the program's process number, its streams, and a pipe that ends when it ends."""
        self.pid = pid
        self.stdin, self.stdout, self.stderr = streams
        self.returncode: int | None = None
        self._alive = alive

    def poll(self) -> int | None:
        """Return None while the program runs."""
        return self._ended(0)

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the end of the program; raise TimeoutExpired if it takes too long."""
        if self._ended(timeout) is None:
            raise subprocess.TimeoutExpired(str(self.pid), timeout or 0)
        return 0

    def terminate(self) -> None:
        """Ask the program to end."""
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        """End the program."""
        self._signal(signal.SIGKILL)

    def _signal(self, number: int) -> None:
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def _ended(self, timeout: float | None) -> int | None:
        if self.returncode is None and select.select([self._alive], [], [], timeout)[0]:
            os.close(self._alive)
            self.returncode = 0
        return self.returncode


@dataclass
class WarmPython:
    """An interpreter that has imported modules, and starts programs that need them."""

    interpreter: str
    environment: Mapping[str, str]
    path: Sequence[str] = ()
    """Folders that the server and its programs import from before all others."""

    modules: Sequence[str] = ()
    """Modules to import. One that is missing is left to the program, which then fails by itself."""

    _socket: socket.socket | None = field(default=None, init=False)
    _server: subprocess.Popen[bytes] | None = field(default=None, init=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False)

    def start(self, script: str, environment: Mapping[str, str], folder: str) -> Process:
        """Start a Python file whose streams are pipes of text."""
        to_read, to_write = zip(*(os.pipe() for _ in range(_STREAMS + 1)), strict=True)
        # The program reads its standard input, and writes to the others.
        given = [to_read[0], *to_write[1:]]
        kept = [to_write[0], *to_read[1:]]
        request = {"script": script, "environment": dict(environment), "folder": folder}
        try:
            answer = self._ask(request, given)
        finally:
            for descriptor in given:
                os.close(descriptor)
        streams = (
            os.fdopen(kept[0], "w", buffering=1),
            os.fdopen(kept[1]),
            os.fdopen(kept[2]),
        )
        return Process(answer["pid"], streams, kept[3])

    def run(
        self,
        module: str,
        arguments: Sequence[str],
        environment: Mapping[str, str],
        output: int,
        errors: int,
    ) -> int:
        """Run a module as `python -m` does, with these outputs, and return its exit code."""
        request = {
            "module": module,
            "arguments": list(arguments),
            "environment": dict(environment),
            "folder": str(Path.cwd()),
        }
        with Path(os.devnull).open() as nothing:
            answer = self._ask(request, [nothing.fileno(), output, errors])
        code: int = answer["returncode"]
        return code

    def launch(self) -> None:
        """Start the server, if it does not run, and do not wait for it."""
        if SUPPORTED and self._socket is None:
            self._socket = self._launch()
            atexit.register(self.stop)

    def stop(self) -> None:
        """Stop the server. Programs that run go on."""
        if self._socket is not None and self._server is not None:
            self._socket.close()
            self._server.wait()
            self._socket = None

    def _ask(self, request: dict[str, Any], descriptors: list[int]) -> dict[str, Any]:
        with self._lock:
            self.launch()
            server = self._socket
            if server is None:
                raise RuntimeError("programs cannot be started from a server here")
            socket.send_fds(server, [json.dumps(request).encode()], descriptors)
            answer: dict[str, Any] = json.loads(server.recv(_LONGEST_MESSAGE))
            return answer

    def _launch(self) -> socket.socket:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._server = subprocess.Popen(
                [self.interpreter, __file__, str(theirs.fileno()), *self.modules],
                env={**self.environment, "WARM_PATH": os.pathsep.join(self.path)},
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
            )
        return ours


# --- the server -----------------------------------------------------------------------------------


def serve(connection: socket.socket, modules: Sequence[str]) -> None:
    """Import modules, then fork for each request; return in each program's process only."""
    # This file's folder is no place to import from.
    sys.path[:] = [*filter(None, os.environ.pop("WARM_PATH").split(os.pathsep)), *sys.path[1:]]
    for module in modules:
        with contextlib.suppress(ImportError):
            importlib.import_module(module)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    while True:
        message, descriptors, _, _ = socket.recv_fds(connection, _LONGEST_MESSAGE, _STREAMS + 1)
        if not message:
            os._exit(0)
        request = json.loads(message)
        pid = os.fork()
        if pid == 0:
            connection.close()
            _become(request, descriptors)
            return
        for descriptor in descriptors:
            os.close(descriptor)
        answer = {"pid": pid}
        if "module" in request:
            answer["returncode"] = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        _collect_ended()
        connection.send(json.dumps(answer).encode())


def _collect_ended() -> None:
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def _become(request: dict[str, Any], descriptors: list[int]) -> None:
    """Make this process look like one that was just started for the request."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number, descriptor in enumerate(descriptors[:_STREAMS]):
        os.dup2(descriptor, number)
        os.close(descriptor)
    os.environ.clear()
    os.environ.update(request["environment"])
    time.tzset()
    os.chdir(request["folder"])
    if "script" in request:
        sys.argv = [request["script"]]
        sys.path.insert(0, str(Path(request["script"]).parent))
    else:
        sys.argv = [request["module"], *request["arguments"]]
        sys.path.insert(0, request["folder"])
    global program  # noqa: PLW0603 - run below, when the server's own frames are gone
    program = request


program: dict[str, Any] = {}

if __name__ == "__main__":
    serve(socket.socket(fileno=int(sys.argv[1])), sys.argv[2:])
    if "script" in program:
        runpy.run_path(program["script"], run_name="__main__")
    else:
        runpy.run_module(program["module"], run_name="__main__", alter_sys=True)
