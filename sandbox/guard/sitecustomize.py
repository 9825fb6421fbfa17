"""Refuse each connection to an address off this machine, in each process that starts with this.

Python imports `sitecustomize` at its start from the first folder on its path that has one, so this
folder is put into PYTHONPATH (`only_this_machine.py`). Standard library only: it runs in functions,
in the emulator and in SAM. An audit hook sees what C code connects, too, and nothing removes it.
"""

import ipaddress
import os
import socket
import sys
from typing import Any

OTHERS_VARIABLE = "SANDBOX_OTHER_ADDRESSES"
"""Names and addresses, separated by commas, that are allowed besides loopback."""

_RESOLVING = {
    "socket.getaddrinfo": 0,
    "socket.gethostbyname": 0,
    "socket.gethostbyname_ex": 0,
    "socket.gethostbyaddr": 0,
}
_REACHING = {"socket.connect": 1, "socket.sendto": 1, "socket.sendmsg": 1}
"""Audit events, and which of their arguments is the address (docs.python.org, audit events)."""


class OffThisMachineError(RuntimeError):
    """Something wanted to reach an address off this machine.

    No `OSError`: HTTP clients replace those by errors of their own, without this text.
    """


class _Guard:
    def __init__(self, others: set[str]) -> None:
        self._names = others | {"localhost"}
        # Before the guard stands, names may still be looked up.
        self._addresses = {
            str(found[4][0]) for name in others for found in socket.getaddrinfo(name, None)
        }

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event in _RESOLVING:
            host = arguments[_RESOLVING[event]]
            host = host.decode(errors="replace") if isinstance(host, bytes) else host
        elif event in _REACHING:
            address = arguments[_REACHING[event]]
            # A path or bytes: a socket of this machine's files. None: a connected socket.
            host = address[0] if isinstance(address, tuple) else None
        else:
            return
        if host and not self._allows(str(host)):
            # The program may catch the error, so its log says it as well.
            text = f"refused by the sandbox, which reaches no address off this machine: {host}"
            sys.stderr.write(f"{text}\n")
            raise OffThisMachineError(text)

    def _allows(self, host: str) -> bool:
        if host in self._names or host in self._addresses:
            return True
        try:
            address = ipaddress.ip_address(host)
        except ValueError:
            return False
        return address.is_loopback or address.is_unspecified


def install() -> None:
    """Refuse from now on, until this process ends."""
    others = os.environ.get(OTHERS_VARIABLE, "")
    sys.addaudithook(_Guard({one for one in others.split(",") if one}))


install()
