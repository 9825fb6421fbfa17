"""No process of the sandbox reaches an address off this machine, such as the real AWS.

Each gets the emulator's endpoint for all services. If one asks another endpoint all the same, by a
mistake in the sandbox or in the product, the guard refuses it instead of letting it go out.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

GUARD: Final = Path(__file__).parent / "guard"
REFUSED: Final = "refused by the sandbox"
"""What the guard's message begins with."""


def guarded(environment: Mapping[str, str]) -> dict[str, str]:
    """Return an environment in which Python programs reach addresses of this machine only.

    Proxies are left out, since one on this machine would pass calls on. So are the user's own files
    of AWS settings, which may name other endpoints.
    """
    kept = {
        name: value for name, value in environment.items() if not name.lower().endswith("_proxy")
    }
    path = os.pathsep.join(filter(None, [str(GUARD), environment.get("PYTHONPATH", "")]))
    return (
        {"AWS_CONFIG_FILE": os.devnull, "AWS_SHARED_CREDENTIALS_FILE": os.devnull}
        | kept
        | {
            "AWS_EC2_METADATA_DISABLED": "true",
            "NO_PROXY": "*",
            "PYTHONPATH": path,
        }
    )
