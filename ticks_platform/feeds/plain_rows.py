"""Rows of CSV by column, read by numpy: what ordinary files have, without a Python object for each value.

Whatever is odd, such as a quoted quotation mark, a line of another number of values or a number in another notation, is
left to the `csv` module and the decoders of single rows: this reads what it is sure of, and refuses the rest.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

_COMMA, _LINE_FEED, _QUOTE, _DOT, _ZERO = b',\n".0'

_LONGEST_EXACT = 15
"""Digits of a decimal number that a float holds exactly, so that one division by a power of ten rounds it right."""

_DOT_DIGIT = (_DOT - _ZERO) % 256

_LONGEST_WHOLE = 19
"""Digits of the largest number of 64 bits."""

_LONGEST_FIELD = 256
"""Bytes of a value; a longer one is odd."""

_MOST_LANES = 3
"""Words of eight bytes of values that are compared as numbers."""

_MIXER = np.uint64(0x9E3779B97F4A7C15)

_TENS = 10 ** np.arange(19, dtype=np.int64)

Bytes = npt.NDArray[np.uint8]


class PlainRows:
    """Rows with as many values each, of which none has a line break or a quotation mark in it."""

    def __init__(self, text: bytes, starts: npt.NDArray[np.intp], ends: npt.NDArray[np.intp]) -> None:
        """`starts` and `ends` are of each value in `text`, by row and column; before it are `_LONGEST_FIELD` bytes."""
        self._text = text
        self._starts, self._ends = starts, ends

    @classmethod
    def of(cls, lines: bytes, columns: int) -> PlainRows | None:
        """The rows of whole lines, each ended by a line feed but perhaps the last one; None if one of them is odd."""
        if not lines.endswith(b"\n"):
            lines += b"\n"
        rows = lines.count(b"\n")
        if b"\r" in lines:
            if not lines.count(b"\r") == lines.count(b"\r\n") == rows:
                return None
            lines = lines.replace(b"\r\n", b"\n")
        if b"\0" in lines:
            return None
        text = bytes(_LONGEST_FIELD) + lines
        data = np.frombuffer(text, np.uint8)
        places = np.flatnonzero((data == _COMMA) | (data == _LINE_FEED))
        quotes = np.flatnonzero(data == _QUOTE) if b'"' in lines else None
        if quotes is not None:
            if not _are_around_values(data, quotes):
                return None
            before = np.bincount(np.searchsorted(places, quotes), minlength=len(places))[: len(places)]
            places = places[np.cumsum(before) % 2 == 0]
        if len(places) != rows * columns:
            return None
        ends = places.reshape(rows, columns)
        if not (data[ends[:, -1]] == _LINE_FEED).all():
            return None
        starts = np.concatenate(([_LONGEST_FIELD], places[:-1] + 1)).reshape(rows, columns)
        if quotes is not None:
            quoted = data[starts] == _QUOTE
            starts, ends = starts + quoted, ends - quoted
        if int((ends - starts).max(initial=0)) > _LONGEST_FIELD or (columns == 1 and (ends == starts).any()):
            return None
        return cls(text, starts, ends)

    def __len__(self) -> int:
        return len(self._starts)

    def texts(self, column: int) -> list[str] | None:
        """The values of a column; None if one is no UTF-8."""
        starts, ends = self._starts[:, column].tolist(), self._ends[:, column].tolist()
        try:
            # One decoding for all; bytes are characters then.
            text = self._text.decode("ascii")
            return [text[start:end] for start, end in zip(starts, ends, strict=True)]
        except UnicodeDecodeError:
            pass
        try:
            return [self._text[start:end].decode() for start, end in zip(starts, ends, strict=True)]
        except UnicodeDecodeError:
            return None

    def coded(self, *columns: int) -> tuple[npt.NDArray[np.intp], list[tuple[str, ...]]] | None:
        """Values with few different ones, together: which of the different ones each row has, and these.

        None if one is no UTF-8.
        """
        keys = self._keys(columns)
        if keys is None:
            return None
        if (keys[1:] == keys[:-1]).all():
            first, which = np.zeros(1, np.intp), np.zeros(len(keys), np.intp)
        else:
            _, first, which = np.unique(keys, return_index=True, return_inverse=True)
        try:
            words = [
                tuple(self._text[self._starts[row, at] : self._ends[row, at]].decode() for at in columns)
                for row in first.tolist()
            ]
        except UnicodeDecodeError:
            return None
        return which, words

    def whole_numbers(self, column: int) -> npt.NDArray[np.int64] | None:
        """The values of a column, all of which are digits; None if one is not, or may be beyond 64 bits."""
        lengths = self._ends[:, column] - self._starts[:, column]
        longest = int(lengths.max(initial=0))
        if not 0 < longest <= _LONGEST_WHOLE or int(lengths.min()) == 0:
            return None
        digits = self._digits(column, longest, lengths)
        return None if longest == _LONGEST_WHOLE and digits[:, 0].max() == 9 else _value(digits)

    def decimals(self, column: int) -> npt.NDArray[np.float64] | None:
        """The values of a column, digits with at most one dot among them; NaN where it is empty.

        None if one is written in another way, or has more digits than can be rounded right at once.
        """
        lengths = self._ends[:, column] - self._starts[:, column]
        longest = int(lengths.max(initial=0))
        found = np.full(len(lengths), np.nan)
        if longest == 0:
            return found
        if longest > _LONGEST_EXACT + 1:
            return None
        digits = self._digits(column, longest, lengths)
        dots = digits == _DOT_DIGIT
        dot = int(dots[0].argmax())
        if len(np.flatnonzero(dots)) == len(dots) and dots[:, dot].all():
            # As many places behind the dot in all, as providers write.
            value = _value(np.delete(digits, dot, axis=1))
            if value is None or int(lengths.min()) == 1:
                return None
            found[:] = value / float(_TENS[longest - 1 - dot])
            return found
        counts = dots.sum(axis=1)
        if int(counts.max()) > 1 or ((lengths == counts) & (lengths > 0)).any() or int((lengths - counts).max()) > 15:
            return None
        after = np.where(counts > 0, longest - 1 - dots.argmax(axis=1), -1)
        for places in np.unique(after).tolist():
            rows = np.flatnonzero((after == places) & (lengths > 0))
            chosen = digits[rows]
            value = _value(np.delete(chosen, longest - 1 - places, axis=1) if places >= 0 else chosen)
            if value is None:
                return None
            found[rows] = value / float(_TENS[max(places, 0)])
        return found

    def _keys(self, columns: Sequence[int]) -> npt.NDArray[np.uint64] | None:
        """A number for each row, equal for equal values of these columns."""
        lengths = [self._ends[:, column] - self._starts[:, column] for column in columns]
        longest = [int(each.max(initial=0)) for each in lengths]
        lanes = -(-(sum(longest) + len(columns)) // 8)
        if lanes <= _MOST_LANES:
            wide = np.zeros((len(self), lanes * 8), np.uint8)
            at = 0
            for column, each, length in zip(columns, lengths, longest, strict=True):
                wide[:, at] = each
                if length:
                    wide[:, at + 1 : at + 1 + length] = self._left(column, length, each)
                at += 1 + length
            numbers = wide.view(np.uint64)
            keys = numbers[:, 0].copy()
            for lane in range(1, lanes):
                keys = keys * _MIXER + numbers[:, lane]
            if lanes == 1 or _are_different(keys, numbers):
                return keys
        values = [self.texts(column) for column in columns]
        if None in values:
            return None
        rows: list[tuple[str, ...]] = list(zip(*values, strict=True))
        number_of = {value: number for number, value in enumerate(dict.fromkeys(rows))}
        return np.fromiter(map(number_of.__getitem__, rows), np.uint64, len(rows))

    def _digits(self, column: int, longest: int, lengths: npt.NDArray[np.intp]) -> Bytes:
        """The bytes of each value less that of the digit 0, to the right; 0 before them."""
        digits = _pieces(self._text, longest)[self._ends[:, column] - longest].view(np.uint8)
        digits = digits.reshape(len(lengths), longest) - np.uint8(_ZERO)
        if int(lengths.min()) != longest:
            digits[np.arange(longest) < longest - lengths[:, None]] = 0
        return digits

    def _left(self, column: int, longest: int, lengths: npt.NDArray[np.intp]) -> Bytes:
        """The bytes of each value, to the left; 0 behind them."""
        found = _pieces(self._text + bytes(longest), longest)[self._starts[:, column]].view(np.uint8)
        found = found.reshape(len(lengths), longest)
        if int(lengths.min()) != longest:
            found[np.arange(longest) >= lengths[:, None]] = 0
        return found


def _are_around_values(data: Bytes, quotes: npt.NDArray[np.intp]) -> bool:
    """Whether each quotation mark begins a value or ends one, in turn."""
    if len(quotes) % 2:
        return False
    before, behind = data[quotes[::2] - 1], data[quotes[1::2] + 1]
    begins = (before == _COMMA) | (before == _LINE_FEED) | (before == 0)
    return bool(begins.all() and ((behind == _COMMA) | (behind == _LINE_FEED)).all())


def _are_different(keys: npt.NDArray[np.uint64], numbers: npt.NDArray[np.uint64]) -> bool:
    """Whether rows of these numbers that are not equal have keys that are not."""
    _, first, which = np.unique(keys, return_index=True, return_inverse=True)
    return bool((numbers[first][which] == numbers).all())


def _value(digits: Bytes) -> npt.NDArray[np.int64] | None:
    """The number of each row of digits; None if one is none."""
    if digits.size and digits.max() > 9:
        return None
    value = np.zeros(len(digits), np.int64)
    for place in range(digits.shape[1]):
        value *= 10
        value += digits[:, place]
    return value


def _pieces(data: bytes, length: int) -> npt.NDArray[np.void]:
    """All pieces of this length, by their beginnings; overlapping views."""
    return np.ndarray((len(data) - length + 1,), dtype=f"V{length}", buffer=data, strides=(1,))
