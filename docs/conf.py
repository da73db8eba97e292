"""Sphinx makes the site from the Markdown pages; ``make docs`` runs it, without network."""

from __future__ import annotations

import sys
from pathlib import Path

from temporem.version import __version__

sys.path.insert(0, str(Path(__file__).parent))  # site_parts is a file of this folder

project = "temporem"
author = "The temporem developers"
copyright = f"2026, {author}"
version = release = __version__

extensions = ["myst_parser", "sphinx_external_toc", "sphinx_copybutton", "site_parts"]
external_toc_path = "_toc.yml"
exclude_patterns = ["_build", "notebooks"]
nitpicky = True

myst_enable_extensions = ["dollarmath"]
myst_dmath_double_inline = True
myst_heading_anchors = 4

copybutton_prompt_text = r"\$ |>>> |\.\.\. "
copybutton_prompt_is_regexp = True

html_theme = "pydata_sphinx_theme"
html_title = "temporem"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sourcelink = False
html_theme_options = {
    "logo": {"text": "temporem"},
    "navbar_align": "left",
    "header_links_before_dropdown": 7,
    "navbar_end": ["theme-switcher"],
    "show_prev_next": True,
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["copyright"],
    "footer_end": [],
    "pygments_light_style": "a11y-high-contrast-light",
    "pygments_dark_style": "a11y-high-contrast-dark",
}
html_math_renderer = "mathml"
linkcheck_timeout = 20
linkcheck_retries = 2
