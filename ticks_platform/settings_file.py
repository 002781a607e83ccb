"""Settings files in YAML. Duplicate keys are errors, and no error message quotes a line, which may hold a secret."""

from __future__ import annotations

import difflib
from collections.abc import Hashable, Iterable
from pathlib import Path
from typing import Any, get_args

import yaml
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from ticks_platform.errors import ActionRequiredError


class SettingsError(ActionRequiredError):
    """A settings file or the environment has to change; the message says where and how."""


def read_settings(path: Path) -> Any:
    """The content of a YAML file. Raises SettingsError, which names the file, line and column."""
    try:
        return yaml.load(path.read_text(encoding="utf-8"), _Loader)  # noqa: S506  (it is a SafeLoader)
    except OSError as error:
        raise SettingsError(f"cannot read {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise SettingsError(f"{path} is not UTF-8: byte {error.start} cannot be read") from None
    except yaml.YAMLError as error:
        raise SettingsError(f"{path} is not valid YAML: {_describe(error)}") from None


def section(content: Any, *names: str) -> Any:
    """These parts of a settings file. In a defs.yaml of `ticks_platform.Platform` they are attributes."""
    attributes = content.get("attributes") if isinstance(content, dict) and "type" in content else None
    if not isinstance(attributes, dict):
        return content
    return {name: attributes[name] for name in names if attributes.get(name) is not None}


def explain(error: ValidationError, model: type[BaseModel]) -> list[tuple[tuple[int | str, ...], str]]:
    """Place and message of each problem that a model's validation found. No value is quoted: it may be a secret."""
    items = error.errors(include_input=False, include_url=False)
    return [(item["loc"], _words(item, model)) for item in items]


def _words(item: ErrorDetails, model: type[BaseModel]) -> str:
    """What is wrong, in words of ours where pydantic's are of Python."""
    place, kind = item["loc"], item["type"]
    if kind == "extra_forbidden":
        return _unknown(place, model)
    if kind == "missing":
        return "is missing"
    if kind in ("model_type", "dict_type"):
        return (
            f"must have settings, such as {', '.join(_fields(model))}" if not place else "must be a section of settings"
        )
    # It puts this before what a check of ours says.
    return item["msg"].removeprefix("Value error, ")


def _unknown(place: tuple[int | str, ...], model: type[BaseModel]) -> str:
    section = model
    for part in place[:-1]:
        fields = _fields(section)
        if part in fields:
            section = _model_in(fields[str(part)].annotation) or section
    return f"unknown setting{did_you_mean(str(place[-1]), _fields(section))}"


def _fields(model: type[BaseModel]) -> dict[str, FieldInfo]:
    """The fields of a model by the names that a file has for them."""
    return {field.alias or name: field for name, field in model.model_fields.items()}


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """What to add to a message about an unknown name; empty if no known one is like it."""
    close = difflib.get_close_matches(name, list(known), n=1)
    return f"; did you mean {close[0]!r}?" if close else ""


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """The first model in an annotation such as `tuple[Model, ...]`."""
    inner = get_args(annotation)
    if inner:
        return next((found for part in inner if (found := _model_in(part)) is not None), None)
    return annotation if isinstance(annotation, type) and issubclass(annotation, BaseModel) else None


class _Loader(yaml.SafeLoader):
    """A SafeLoader that rejects duplicate keys, of which PyYAML would keep the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[tuple[str, str]] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                if (key.tag, key.value) in seen:
                    raise yaml.constructor.ConstructorError(problem="duplicate key", problem_mark=key.start_mark)
                seen.add((key.tag, key.value))
        return super().construct_mapping(node, deep)

    def construct_timestamp(self, node: yaml.ScalarNode) -> Any:
        """A date or time. One that does not exist, such as 2026-02-30, is an error of the file."""
        try:
            return super().construct_yaml_timestamp(node)
        except ValueError:
            raise yaml.constructor.ConstructorError(
                problem="a date or time that does not exist", problem_mark=node.start_mark
            ) from None


_Loader.add_constructor("tag:yaml.org,2002:timestamp", _Loader.construct_timestamp)


def _describe(error: yaml.YAMLError) -> str:
    """The problem and its place, without the line, which PyYAML would quote."""
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark is not None:
        mark = error.problem_mark
        return f"line {mark.line + 1}, column {mark.column + 1}: {error.problem}"
    return f"{getattr(error, 'reason', None) or type(error).__name__}"
