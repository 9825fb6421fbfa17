"""The languages of the mails, for tests that make the same of each."""

import inspect
from collections.abc import Callable
from functools import wraps

from mfa_watcher.mail.languages import languages


def every_language(test: Callable[..., None]) -> Callable[..., None]:
    """Make a test's ``language`` each language that there is, one after the other."""

    @wraps(test)
    def of_each(**arguments: object) -> None:
        for language in languages():
            try:
                test(language=language, **arguments)
            except BaseException as error:
                error.add_note(f"in the language {language}")
                raise

    signature = inspect.signature(test)
    others = [one for name, one in signature.parameters.items() if name != "language"]
    of_each.__signature__ = signature.replace(parameters=others)  # type: ignore[attr-defined]
    return of_each
