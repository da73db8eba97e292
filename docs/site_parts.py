"""Parts of the site: equations as MathML, and the page of measured results.

MathML is drawn by the browser itself. So equations need no script, no network and no LaTeX.
"""

from __future__ import annotations

import re
from pathlib import Path

from docutils import nodes
from docutils.utils.math import MathError
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.application import Sphinx
from sphinx.util.logging import getLogger
from sphinx.writers.html5 import HTML5Translator

_LOG = getLogger(__name__)
_BENCHMARKS = Path(__file__).parent.parent / "benchmarks"


def _inline(self: HTML5Translator, node: nodes.math) -> None:
    self.body.append(_mathml(node))
    raise nodes.SkipNode


def _block(self: HTML5Translator, node: nodes.math_block) -> None:
    self.body.append(f'<div class="equation">{_mathml(node, as_block=True)}</div>')
    raise nodes.SkipNode


def _mathml(node: nodes.Node, *, as_block: bool = False) -> str:
    try:
        return _spaced(tex2mathml(node.astext(), as_block=as_block))
    except MathError as error:
        _LOG.warning("equation %s: %s", node.astext(), error, location=node)
        return ""


def _spaced(mathml: str) -> str:
    """Space names of functions from their arguments, and bars from nothing, as LaTeX does."""
    thin = '<mspace width="0.1667em"></mspace>'
    mathml = re.sub(r"<mo>&ApplyFunction;</mo>(?!\s*<mo\b)", thin, mathml)
    return re.sub(r"<mo([^>]*)>(?=[|‖]</mo>)", r'<mo\1 lspace="0" rspace="0">', mathml)


def _show_results(app: Sphinx, name: str, source: list[str]) -> None:
    """Put the results of the repository into their page, and have links lead there.

    Other Markdown files outside the site are offered as files.
    """
    text = source[0]
    if name == "results":
        text = (_BENCHMARKS / "RESULTS.md").read_text(encoding="utf-8")
        text = re.sub(r"\]\((?=experiments/)", "](../benchmarks/", text).replace("](../docs/", "](")
    up = "../" * name.count("/")
    text = text.replace(f"]({up}../benchmarks/RESULTS.md", f"]({up}results.md")
    source[0] = re.sub(r"\]\((?=[./]*/benchmarks/[^)]*\.md\))", "](path:", text)


def setup(app: Sphinx) -> dict[str, bool]:
    """Register both parts."""
    app.add_html_math_renderer("mathml", (_inline, None), (_block, None))
    app.connect("source-read", _show_results)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
