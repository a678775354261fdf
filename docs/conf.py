"Sphinx builds the site from what prepare.py wrote. No page loads anything from another host."
import html, importlib.util, re, sys, unicodedata
from configparser import ConfigParser
from pathlib import Path

from docutils.nodes import SkipNode
from latex2mathml.converter import convert

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))      # for prepare.anchor
settings = ConfigParser()
settings.read(HERE.parent/"settings.ini", encoding="utf-8")
settings = settings["DEFAULT"]
project, author, release = settings["title"], settings["author"], settings["version"]
copyright = settings["copyright"]

extensions = ["myst_nb"]
exclude_patterns = ["linked"]
html_theme = "sphinx_book_theme"
html_title = project
# ziamath is there for its font: STIX Two Math, under the SIL Open Font License
FONT = Path(importlib.util.find_spec("ziamath").origin).parent/"fonts"/"STIXTwoMath-Regular.ttf"
html_static_path = ["site.css", str(FONT)]
html_css_files = ["site.css"]
html_theme_options = {"use_download_button": False, "use_fullscreen_button": False, "show_navbar_depth": 1,
                      "home_page_in_toc": True, "show_toc_level": 2, "navbar_start": [], "navbar_center": [],
                      "navbar_end": [], "navbar_persistent": []}
html_copy_source = html_show_sourcelink = False
html_show_search_summary = False  # it fetches pages, which a browser forbids for a site opened from disk
html_domain_indices = False
html_math_renderer = "mathml"
highlight_language = "text"
python_maximum_signature_line_length = 88
add_module_names = False
toc_object_entries_show_parents = "hide"
suppress_warnings = ["ref.python"]  # a type in a signature may be the name of two classes

nb_execution_mode = "off"
nb_output_stderr = "remove"       # progress
nb_render_markdown_format = "myst"
nb_ipywidgets_js = {}             # would come from another host
nb_mime_priority_overrides = [("html", "application/vnd.jupyter.widget-view+json", None)]
myst_enable_extensions = ["amsmath", "attrs_block", "colon_fence", "dollarmath", "fieldlist"]
myst_heading_anchors = 3
myst_heading_slug_func = "prepare.anchor"

def letters(match):
    "Script and double-struck capitals as characters of their own, since browsers ignore `mathvariant`."
    def letter(c):
        names = f"MATHEMATICAL {match[1].upper()} CAPITAL {c}", f"{match[1].upper()} CAPITAL {c}"
        return next((unicodedata.lookup(n) for n in names if known(n)), c)
    return f"<mi>{''.join(map(letter, match[2]))}</mi>"

def known(name):
    try: return unicodedata.lookup(name)
    except KeyError: return None

def mathml(latex, display):
    "An equation as MathML, which browsers draw themselves; its \\tag stands at the right."
    tag = re.search(r"\\tag\{([^}]*)\}", latex)
    drawn = convert(latex.replace(tag[0], "") if tag else latex, display="block" if display else "inline")
    drawn = re.sub(r'<mi mathvariant="(script|double-struck)">([^<]*)</mi>', letters, drawn)
    return f'{drawn}<span class="tag">({html.escape(tag[1])})</span>' if tag else drawn

def inline(writer, node):
    writer.body.append(mathml(node.astext(), display=False))
    raise SkipNode

def displayed(writer, node):
    writer.body.append(f'<div class="equation">{mathml(node.astext(), display=True)}</div>')
    raise SkipNode

def setup(app):
    app.config.html_extra_path = [str(app.srcdir/"linked")]  # files of the repository that a page links to
    app.add_html_math_renderer("mathml", (inline, None), (displayed, None))
