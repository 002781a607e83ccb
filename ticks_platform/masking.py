"""Masks the secrets that this process knows, wherever text leaves it.

A secret is the value of a feed's ``api_key_env``, a password in a URL of the environment (databases, proxies), one of
libpq's (``PGPASSWORD``, its password and service files), a webhook, or a variable whose name says so. They are read
from the environment when text is masked, so that none is kept here for longer than needed.

`install` covers log records, warnings and tracebacks. Errors of the platform mask themselves (`errors`), as do texts on
their way into the database (`timescale.database.storable`). The journal keeps frames as received, and is its owner's
alone.
"""

from __future__ import annotations

import base64
import functools
import html
import json
import logging
import os
import re
import sys
import threading
import traceback
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import quote, quote_plus, unquote, urlsplit

from ticks_platform.escaping import lines

MASK = "***"

SHORTEST_WORD = 4
"""Characters. A shorter secret is masked only where a name says that it is one, such as ``apikey=abc``: as a word it is
part of half of all symbols."""

SHORTEST_PART = 8
"""Characters. A secret of this length is masked within words, in any case, and encoded; a shorter one as a word."""

_NAMES = re.compile(r"(?:^|_)(?:PASSWORD|PASSWD|PASSPHRASE|SECRET|TOKEN|API_?KEY|ACCESS_KEY|WEBHOOK)$", re.IGNORECASE)
"""Variables that hold a secret by their name."""

_COMMON = {"password", "postgres", "postgresql", "ticks", "dagster", "grafana", "timescaledb", "demo", "stand-in"}
"""Words that some use as a password. Masked everywhere, they would make every message unreadable."""

_IN_URL = re.compile(r"(?<=://)([^\s/@:'\"]*):([^\s@'\"]+)@")
"""User and password of a URL, whether they are known or not; a password may have a slash that nobody encoded."""

_NAMED = r"(?:api[_-]?key|key|token|secret|passw(?:or)?d|pwd|params|authorization)"
_IN_QUERY = re.compile(r"(?i)([?&](?:api[_-]?key|access[_-]?token|token|secret|password)=)[^&\s'\"<>()\[\],;]+")

_variables: set[str] = set()


def know_variable(name: str | None) -> None:
    """The value of this environment variable is a secret, whatever its name."""
    if name:
        _variables.add(name)


def mask(text: str) -> str:
    """A text without any secret that this process knows."""
    return current().text(text)


def masked(value: Any) -> Any:
    """A value of JSON's kinds with all its texts masked, keys included."""
    if isinstance(value, str):
        return mask(value)
    if isinstance(value, dict):
        return {masked(key): masked(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(masked(each) for each in value)
    return value


def current() -> Masker:
    """The masker for the secrets as they are now. For many texts, it is asked for once."""
    return _masker(frozenset([*_of_environment(tuple(os.environb.items()), frozenset(_variables)), *_of_files()]))


class Masker:
    """Masks a set of secrets."""

    def __init__(self, secrets: Sequence[tuple[str, str]]) -> None:
        """`secrets` with the user of each, if there is one."""
        anywhere: dict[str, None] = {}
        words: dict[str, None] = {}
        named: dict[str, None] = {}
        for secret, user in secrets:
            if len(secret) < SHORTEST_WORD or secret.lower() in _COMMON or secret == user:
                named[secret] = None
            elif len(secret) < SHORTEST_PART:
                words[secret] = None
            else:
                anywhere.update(dict.fromkeys(_forms(secret)))
            if user and len(secret) >= SHORTEST_WORD:
                anywhere[base64.b64encode(f"{user}:{secret}".encode()).decode()] = None
        # The longest first: of two alternatives, a regular expression takes the first that fits.
        patterns = [_with_its_beginning(form) for form in sorted(anywhere, key=len, reverse=True)]
        long = [secret for secret, _ in secrets if secret in anywhere]
        patterns += [_with_its_end(secret) for secret in sorted(long, key=len, reverse=True)]
        patterns += [rf"(?-i:(?<![^\W_]){re.escape(word)}(?![^\W_]))" for word in words]
        self._heads = [form[: _head(form)].lower() for form in anywhere] + [word.lower() for word in words]
        self._heads += [secret[-_head(secret) :].lower() for secret in long]
        self._byte_heads = [head.encode() for head in self._heads]
        pattern = "|".join(patterns) or r"(?!)"
        self._pattern = re.compile(pattern, re.IGNORECASE)
        self._byte_pattern = re.compile(pattern.encode(), re.IGNORECASE)
        some = "|".join(map(re.escape, sorted(named, key=len, reverse=True))) or r"(?!)"
        self._named = re.compile(rf"(?i:({_NAMED}[\"']?\s*[:=]\s*[\"']?))(?:{some})(?![^\W_])")

    def text(self, text: str) -> str:
        """A text with the secrets masked."""
        if self._may_have(text.lower(), self._heads):
            text = self._pattern.sub(MASK, text)
        if "=" in text or ":" in text:
            text = self._named.sub(rf"\g<1>{MASK}", text)
            text = _IN_URL.sub(rf"\g<1>:{MASK}@", text)
            text = _IN_QUERY.sub(rf"\g<1>{MASK}", text)
        return text

    def bytes(self, data: bytes) -> bytes:
        """Bytes as received, with the secrets that are known masked and all else untouched."""
        if self._may_have(data.lower(), self._byte_heads):
            return self._byte_pattern.sub(MASK.encode(), data)
        return data

    @staticmethod
    def _may_have(lower: Any, heads: list[Any]) -> bool:
        return any(head in lower for head in heads)


@functools.lru_cache(maxsize=4)
def _masker(secrets: frozenset[tuple[str, str]]) -> Masker:
    return Masker(sorted(secrets))


def _head(form: str) -> int:
    """How much of a form shows that it is meant: half of it, since texts are cut off, and providers abbreviate."""
    return max(SHORTEST_PART, len(form) // 2)


def _with_its_beginning(form: str) -> str:
    """A pattern of a form, or of its first half with as much of the rest as follows."""
    head, rest = form[: _head(form)], form[_head(form) :]
    optional = ""
    for character in reversed(rest[:64]):
        optional = f"(?:{re.escape(character)}{optional})?"
    return re.escape(head) + optional


def _with_its_end(secret: str) -> str:
    """A pattern of the second half of a secret, with as much of the rest as precedes: it may come in two messages."""
    rest, end = secret[: -_head(secret)], secret[-_head(secret) :]
    optional = ""
    for character in rest[-64:]:
        optional = f"(?:{optional}{re.escape(character)})?"
    return optional + re.escape(end)


def _forms(secret: str) -> Iterator[str]:
    """A secret as it is written in texts, URLs, JSON, HTML, SQL, and encoded."""
    yield secret
    yield quote(secret, safe="")
    yield quote(secret)
    yield quote_plus(secret)
    yield unquote(secret)
    yield quote(quote(secret, safe=""), safe="")
    yield quote(quote(secret))
    for ascii_only in (True, False):
        escaped = json.dumps(secret, ensure_ascii=ascii_only)[1:-1]
        yield escaped
        # A message within a message.
        yield json.dumps(escaped, ensure_ascii=ascii_only)[1:-1]
    yield json.dumps(secret)[1:-1].replace("/", "\\/")
    yield repr(secret)[1:-1]
    yield html.escape(secret)
    yield secret.replace("'", "''")
    data = secret.encode()
    yield data.hex()
    # Within other bytes, base64 has one of three alignments; the characters at the edges depend on the neighbours.
    for before in range(3):
        encoded = base64.b64encode(b"\0" * before + data).decode().rstrip("=")
        inner = encoded[(0, 2, 3)[before] :]
        inner = inner[: -1 if (before + len(data)) % 3 else len(inner)]
        if len(inner) >= SHORTEST_PART:
            yield inner
            yield inner.replace("+", "-").replace("/", "_")


# Which secrets there are.


@functools.lru_cache(maxsize=1)
def _of_environment(environment: tuple[tuple[bytes, bytes], ...], variables: frozenset[str]) -> list[tuple[str, str]]:
    """Secrets of the environment, each with its user or an empty text. `variables` hold one, whatever their names."""
    decoded = ((os.fsdecode(name), os.fsdecode(value).strip()) for name, value in environment)
    return [secret for name, value in decoded if value for secret in _of_variable(name, value, name in variables)]


def _of_variable(name: str, value: str, is_secret: bool) -> Iterator[tuple[str, str]]:
    is_url = "://" in value
    is_webhook = is_url and name.upper().endswith("WEBHOOK")
    # Not all of a webhook: it begins as other addresses of its host do.
    if is_secret or name == "PGPASSWORD" or (_NAMES.search(name) and not is_webhook):
        yield value, ""
        key_id, colon, secret = value.partition(":")
        if colon and not is_url:
            # A key of two parts, which are sent apart.
            yield secret.strip(), key_id.strip()
            yield key_id.strip(), ""
    if is_webhook:
        yield from _of_webhook(value)
    if is_url:
        yield from _of_url(value)


def _of_url(value: str) -> Iterator[tuple[str, str]]:
    # By hand: a password with a slash that nobody encoded is one all the same.
    credentials, at, _ = value.partition("://")[2].rpartition("@")
    user, colon, password = credentials.partition(":")
    if at and colon and password:
        yield password, unquote(user)
        yield unquote(password), unquote(user)
    for found in re.findall(r"[?&](?:password|sslpassword|api[_-]?key|token)=([^&\s]+)", value, re.IGNORECASE):
        yield unquote(found), ""


def _of_webhook(url: str) -> Iterator[tuple[str, str]]:
    """A webhook's path and query: who has them can post. Its host is no secret."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return
    rest = f"{parts.path}?{parts.query}" if parts.query else parts.path
    yield rest.strip("/"), ""
    for part in re.split(r"[/?&=]", rest):
        if len(part) >= 2 * SHORTEST_PART:
            yield part, ""


def _of_files() -> Iterator[tuple[str, str]]:
    """Passwords of libpq's own files."""
    home = Path("~").expanduser()
    passwords = os.environ.get("PGPASSFILE") or str(home / ".pgpass")
    for line in _lines(passwords, _modified(passwords)):
        fields = [re.sub(r"\\(.)", r"\1", field) for field in re.split(r"(?<!\\):", line)]
        if len(fields) == 5 and not line.startswith("#") and fields[4]:
            yield fields[4], fields[3]
    services = os.environ.get("PGSERVICEFILE") or str(home / ".pg_service.conf")
    for line in _lines(services, _modified(services)):
        name, _, value = line.partition("=")
        if name.strip() == "password" and value.strip():
            yield value.strip(), ""


def _modified(path: str) -> int | None:
    try:
        return Path(path).stat().st_mtime_ns
    except OSError:
        return None


@functools.lru_cache(maxsize=4)
def _lines(path: str, modified: int | None) -> tuple[str, ...]:
    """The lines of a file, read again when it has changed; none if it cannot be read."""
    if modified is None:
        return ()
    try:
        return tuple(Path(path).read_text(encoding="utf-8", errors="replace").splitlines())
    except OSError:
        return ()


# Where text leaves the process without passing code of ours.


@functools.cache
def install() -> None:
    """Mask what is logged in this process from now on, by whichever library, warnings, and errors that nobody caught.

    Records are masked when they are made, before any handler sees them: those of Dagster too, and of a user's own.
    """
    make = logging.getLogRecordFactory()

    def make_masked(*arguments: Any, **named: Any) -> logging.LogRecord:
        record = make(*arguments, **named)
        _mask_record(record)
        return record

    logging.setLogRecordFactory(make_masked)
    # Hooks of somebody else, such as a test runner or an error tracker, are left as they are.
    if sys.excepthook is sys.__excepthook__:
        sys.excepthook = _print_masked
    if threading.excepthook is threading.__excepthook__:
        threading.excepthook = _print_masked_of_thread
    if sys.unraisablehook is sys.__unraisablehook__:
        sys.unraisablehook = _print_masked_unraisable
    form = warnings.formatwarning
    warnings.formatwarning = lambda *arguments, **named: mask(form(*arguments, **named))


def _mask_record(record: logging.LogRecord) -> None:
    try:
        message = record.getMessage()
    except Exception:  # noqa: BLE001  (arguments that do not fit; the handler reports it, as without us)
        return
    shown = lines(mask(message))
    if shown != message:
        record.msg, record.args = shown, None
    if record.exc_info and record.exc_info[1] is not None:
        text = "".join(traceback.format_exception(*record.exc_info)).rstrip("\n")
        shown = lines(mask(text))
        if shown != text:
            record.exc_info, record.exc_text = None, shown
    if record.stack_info:
        record.stack_info = mask(record.stack_info)


def _print_masked(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    sys.stderr.write(mask("".join(traceback.format_exception(kind, error, trace))))


def _print_masked_of_thread(arguments: threading.ExceptHookArgs) -> None:
    if arguments.exc_type is not SystemExit:
        name = arguments.thread.name if arguments.thread else "?"
        sys.stderr.write(f"Exception in thread {name}:\n")
        lines = traceback.format_exception(arguments.exc_type, arguments.exc_value, arguments.exc_traceback)
        sys.stderr.write(mask("".join(lines)))


def _print_masked_unraisable(arguments: sys.UnraisableHookArgs) -> None:
    """An error of a finalizer, or at the end of the process."""
    trace = traceback.format_exception(arguments.exc_type, arguments.exc_value, arguments.exc_traceback)
    said = arguments.err_msg or "Exception ignored in"
    sys.stderr.write(mask("".join([f"{said}: {arguments.object!r}\n", *trace])))
