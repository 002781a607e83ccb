"""Parts of a result: put in order as they arrive, and cut to the length that was asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import numpy as np

Part = TypeVar("Part")
Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Form(Generic[Part]):
    """What a part is made of: arrays, or columns of Arrow."""

    length: Callable[[Part], int]
    cut: Callable[[Part, int, int], Part]
    """The rows from one place to before another one."""
    join: Callable[[list[Part]], Part]
    take: Callable[[Part, Array], Part]
    """The rows at these places."""


def in_order(parts: Iterable[Part], form: Form[Part], keys: Callable[[Part], tuple[Array, Array]]) -> Iterator[Part]:
    """The rows in order of two keys; at least one part, as long as there is one.

    They come in order of the first one, so no more than those with one value of it are kept back.

    :param keys: the two keys of a part, as integers; the second ones are 0 or more.
    """
    waiting: list[Part] = []
    last: int | None = None
    """The first key of the rows that wait."""
    empty: Part | None = None
    for part in parts:
        if not form.length(part):
            empty = part
            continue
        first, _ = keys(part)
        if first[0] == last and first[-1] == last:
            waiting.append(part)
            continue
        begin = int(np.searchsorted(first, first[-1]))
        complete = [*waiting, form.cut(part, 0, begin)] if begin else waiting
        waiting, last = [form.cut(part, begin, len(first))], int(first[-1])
        if complete:
            yield _ordered(form.join(complete), form, keys)
    if waiting:
        yield _ordered(form.join(waiting), form, keys)
    elif empty is not None:
        yield empty


def _ordered(part: Part, form: Form[Part], keys: Callable[[Part], tuple[Array, Array]]) -> Part:
    first, second = keys(part)
    groups = np.cumsum(np.diff(first, prepend=first[:1]) != 0)
    return form.take(part, np.argsort(groups * (int(second.max()) + 1) + second))


def resized(parts: Iterable[Part], form: Form[Part], length: int) -> Iterator[Part]:
    """The same rows in parts of this length, and the rest; at least one part, as long as there is one."""
    waiting: list[Part] = []
    held, has_yielded = 0, False
    for part in parts:
        waiting.append(part)
        held += form.length(part)
        if held < length:
            continue
        whole, begin = form.join(waiting), 0
        while held - begin >= length:
            has_yielded = True
            yield form.cut(whole, begin, begin + length)
            begin += length
        waiting, held = [form.cut(whole, begin, held)] if held > begin else [], held - begin
    if waiting and (held or not has_yielded):
        yield form.join(waiting)
