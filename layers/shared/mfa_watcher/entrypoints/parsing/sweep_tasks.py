"""Messages of the sweep's queue: one account to sweep each."""

from pydantic import TypeAdapter, ValidationError

from mfa_watcher.domain.sweep.comparison import SweepTask
from mfa_watcher.ports.errors import UnactionableError

_TASK = TypeAdapter(SweepTask)


def parse_task(body: str) -> SweepTask:
    """Parse the body of a message. Raises UnactionableError."""
    try:
        return _TASK.validate_json(body)
    except ValidationError as error:
        [fault, *_] = error.errors(include_url=False, include_input=False)
        where = ".".join(map(str, fault["loc"])) or "the message"
        raise UnactionableError(f"not an account to sweep: {where}: {fault['msg']}") from error
