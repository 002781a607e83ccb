"""Masks what Dagster keeps of errors. Its log and its events' texts pass `ticks_platform.masking` before that."""

import functools
import traceback
from typing import Any

from dagster_shared.error import SerializableErrorInfo

from ticks_platform import masking
from ticks_platform.escaping import lines


@functools.cache
def install() -> None:
    """Mask errors of this process from now on, as Dagster's storage, its UI and the sensors see them.

    Dagster has no hook for this: its own setting, DAGSTER_REDACT_USER_CODE_ERRORS, takes away the whole error. So the
    one function that makes a record of an exception is wrapped; causes and contexts are made by it too.
    """
    masking.install()
    make = SerializableErrorInfo.from_traceback.__func__  # type: ignore[attr-defined]  # mypy sees a bound method

    def from_traceback(cls: type[SerializableErrorInfo], trace: traceback.TracebackException) -> Any:
        made = make(cls, trace)
        shown = masking.current().text
        return made._replace(message=lines(shown(made.message)), stack=[shown(part) for part in made.stack])

    SerializableErrorInfo.from_traceback = classmethod(from_traceback)  # type: ignore[method-assign,assignment]
