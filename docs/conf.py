"""Sphinx settings of the documentation. `make docs` builds it: warnings are errors, and nothing is fetched.

The pages are Markdown (MyST), so that they can be read on a code host too. What has one source is generated from it:
API pages from docstrings, tables of settings and of SQL columns by `_extensions/reference.py`.
"""

from __future__ import annotations

import sys
from pathlib import Path

_HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(_HERE / "_extensions"), str(_HERE.parent)]

project = "ticks_platform"
author = "The ticks_platform developers"

extensions = ["myst_parser", "sphinx.ext.autodoc", "reference"]
exclude_patterns = ["_build"]

html_theme = "furo"
html_title = "ticks_platform"
html_static_path = ["_static"]
html_css_files = ["wide.css"]
html_copy_source = False
html_show_sphinx = False

myst_enable_extensions = ["deflist"]
myst_heading_anchors = 3
# READMEs that pages include link to files beside them, which the site has not. That every link and its anchor exist in
# the checkout is held by a test.
suppress_warnings = ["myst.xref_missing"]

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_default_options = {"members": True, "undoc-members": True, "show-inheritance": True}
# `name` in a docstring is code.
default_role = "code"
python_use_unqualified_type_names = True
add_module_names = False

nitpicky = True
# Names of other projects, whose pages are not looked up: that would take the network.
nitpick_ignore_regex = [
    ("py:.*", r"(abc|asyncio|collections|concurrent|datetime|enum|pathlib|re|threading|types|typing)\..*"),
    ("py:.*", r"(annotated_types|msgspec|numpy|npt|np|psycopg2|pydantic|random)\..*"),
    ("py:.*", r"date|datetime|Path|AbstractContextManager|Connection|Cursor"),
    ("py:.*", r"dagster\..*|.*ConfigurableResource\[\w+\]"),
    # Unions, and ours that annotations name and nobody outside has to.
    (
        "py:class",
        r"((ticks_platform\.feeds|ticks_standin\.market)\.events\.)?(Notice|Event|Silent|HeardAgain|ClockDoubt)",
    ),
    ("py:class", r"(ticks_platform\.feeds\.corporate_actions\.)?ActionKind"),
    ("py:class", r"ticks_platform\.feeds\.columns\._T"),
    ("py:class", r"ticks_platform\.(feeds\.connector\.NoOptions|timescale\.database\.(Database|SessionConnection))"),
    ("py:class", r"ticks_platform\.feeds\.settings\.(FeedSettings|PlatformSettings)"),
    ("py:class", r"ticks_platform\.ingestion\.progress\.Progress"),
    ("py:class", r"ticks_platform\.feeds\.transport\.(silence\.SilenceDetector|state\.Change)"),
    # Forms of arguments, which docstrings tell.
    ("py:class", r"Symbols|Moment|TimeZone|Every|To|From"),
    ("py:class", r"ticks_standin\.(control\.RemoteControl|settings\.StandInSettings)"),
    ("py:meth", r"RemoteControl\..*"),
]
