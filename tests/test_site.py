"""The site: what the notebooks become, and what the check of the built site refuses. The tests of the built site itself
are skipped before `make docs`."""
import importlib.util, os, re, shutil

import pytest

def script(root, name):
    "The module docs/NAME.py."
    spec = importlib.util.spec_from_file_location(f"docs_{name}", root/"docs"/f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module

@pytest.fixture
def prepare(root): return script(root, "prepare")

@pytest.fixture
def check(root): return script(root, "check")

@pytest.fixture
def repository(tmp_path):
    "A repository with one notebook, and the files that it links to."
    root = tmp_path/"repository"
    for path in ("nbs/core/a.ipynb", "nbs/library/b.ipynb", "figures/c.png", "figures/d.md", "benchmarks/e.py",
                 "README.md"):
        (root/path).parent.mkdir(parents=True, exist_ok=True)
        (root/path).write_text("| a | b |\n|---|---|\n")
    return root

# --- notebooks

def code(source, *outputs): return {"cell_type": "code", "source": source, "outputs": list(outputs), "metadata": {}}

def markdown(source): return {"cell_type": "markdown", "source": source, "metadata": {}}

def test_directives_and_hidden_cells_vanish(prepare, repository, tmp_path):
    shown = {"data": {"text/markdown": ["[e](../../benchmarks/", "e.py)"]}}
    cells = [code("#| default_exp color"), markdown("# Colour"), code("#| hide\nassert secret"),
             code("#| export\n#| eval: false\ndef f(): pass", shown), code("# a comment\nf()")]
    nb = prepare.for_site({"cells": cells}, prepare.Path("nbs/core/a.ipynb"), tmp_path/"site", repository)
    assert [c["source"] for c in nb["cells"]] == [
        "# Colour", "{.module}\nModule [`biggan_colorize.color`](../api/color.md)", "def f(): pass",
        "# a comment\nf()"]
    assert nb["cells"][2]["outputs"][0]["data"]["text/markdown"] == '<a href="../benchmarks/e.py">e</a>'

@pytest.mark.parametrize("text, expected, brought", [
    ("[b](../library/b.ipynb#There)", "[b](../library/b.ipynb#There)", None),
    ("![c](../../figures/c.png)", "![c](../figures/c.png)", "figures/c.png"),
    ("[c](../../figures/c.png)", '<a href="../figures/c.png">c</a>', "linked/figures/c.png"),
    ("[d](../../figures/d.md)", "[d](../figures/d.md)", "figures/d.md"),
    ("[e](../../benchmarks/e.py)", '<a href="../benchmarks/e.py">e</a>', "linked/benchmarks/e.py"),
    ('<img src="../../figures/c.png" width="9">', '<img src="../figures/c.png" width="9">', "linked/figures/c.png"),
    ("[front](../../README.md)", "[front](../index.ipynb)", None), ("[all](../../figures)", "all", None),
    ("[paper](https://x.org/a)", "[paper](https://x.org/a)", None),
    ("```\n[c](../../figures/c.png)\n```", "```\n[c](../../figures/c.png)\n```", None)])
def test_links_fit_the_site(prepare, repository, tmp_path, text, expected, brought):
    site = tmp_path/"site"
    assert prepare.relink(text, prepare.Path("nbs/core/a.ipynb"), site, repository) == expected
    files = [str(p.relative_to(site)) for p in site.rglob("*") if p.is_file() and p.name != "index.ipynb"]
    assert files == ([brought] if brought else [])

def test_a_record_becomes_a_page_with_a_title(prepare, repository, tmp_path):
    with open(repository/"figures/d.md", "a") as f: f.write("\n### What follows\n")
    prepare.bring(prepare.Path("figures/d.md"), tmp_path, repository)
    page = (tmp_path/"figures/d.md").read_text()
    assert "\n# d\n\n| a | b |" in page and "\n## What follows" in page and "###" not in page

def test_the_sidebar_is_the_reading_path(prepare, root):
    pages = re.findall(r"^[\w/]+$", (root/"docs/sidebar.md").read_text(encoding="utf-8"), flags=re.MULTILINE)
    notebooks = {str(p.relative_to("nbs").with_suffix("")) for p in prepare.notebooks(root)} - {"index"}
    assert sorted(p for p in pages if p not in ("api/index", "records", "abstract")) == sorted(notebooks)
    core = [f"core/{name}" for name in ("color", "biggan", "surgery", "encoder", "losses", "train")]
    assert pages[:8] == ["start", "paper", *core]

# --- the interface

MODULE = '''"""About *colour*."""
__all__ = ["LIMIT", "Settings", "paint"]
LIMIT = 3 # how many
class Settings:
    "What a run depends on."
    width: int = 4 # of a layer
    kind: str = "it's"
    # of the
    # first step
    rate: float = 0.1
    def name(self, long=True): # in full
        "Its name."
    def _secret(self): pass
    def short(self, a): return a # not of a
@patch(as_prop=True)
def wide(self: Settings) -> bool: "Is it?"
# %% cell
@patch
def save(self: Settings, path) -> int: # bytes
    "Writes it."
def paint(
    x, # (B,3,H,W) in [0, 1]
    n: int = 2,
    *, seed: int = 0 # of z
) -> int: # how many were painted
    "Paints `x_gray` and [x]."
def helper(): "Not exported."
'''

def test_the_interface_is_read_from_the_source(prepare):
    page = prepare.interface(MODULE, "biggan_colorize.paint", "core/paint")
    for line in ("{py:function} paint(x, n: int=2, *, seed: int=0) -> int", ":param x: (B,3,H,W) in \\[0, 1\\]",
                 ":param seed: of z", ":returns: how many were painted", "Paints `x_gray` and \\[x\\].",
                 "{py:class} Settings", "{py:attribute} width", "of a layer", ":value: '\"it''s\"'",
                 "of the first step", "{py:method} name(long=True)", ":param long: in full",
                 "{py:method} save(path) -> int", ":returns: bytes", "{py:property} wide", "{py:data} LIMIT",
                 "how many", "(../core/paint.ipynb)", "About \\*colour\\*."):
        assert line in page, line
    for word in ("helper", "secret", "cell", ":param n:", ":param path:", ":param a:", "self"):
        assert word not in page, word

def test_options_of_the_command_are_plain_parameters(prepare):
    source = '__all__ = ["f"]\ndef f(n: int = typer.Option(3, help="So many."), x: str = typer.Argument(...)): "Does."'
    assert "f(n: int=3, x: str=...)" in prepare.interface(source, "biggan_colorize.f", "f")

def test_every_exported_module_has_its_page(prepare, root):
    found = dict(prepare.modules(root))
    assert len(found) > 30 and root/"biggan_colorize/color.py" in found
    for path, notebook in found.items(): assert (root/"nbs"/f"{notebook}.ipynb").exists(), path

# --- the check of the built site

GOOD = '<h1 id="Top">A</h1><a href="https://x.org">paper</a><a href="#Top">up</a><img src="a.png">'

@pytest.mark.parametrize("page, wrong", [
    ("", None),
    ('<script src="https://cdn.org/a.js"></script>', "loads https://cdn.org/a.js"),
    ('<link rel="stylesheet" href="//cdn.org/a.css">', "loads //cdn.org/a.css"),
    ('<p style="background: url(\'http://x.org/a.png\')">', "loads http://x.org/a.png"),
    ("<style>@import 'https://x.org/a.css';</style>", "loads https://x.org/a.css"),
    ('<script>import("https://x.org/a.js")</script>', "loads https://x.org/a.js"),
    ('<img src="b.png">', "b.png, which is not there"), ('<a href="b.html">', "b.html, which is not there"),
    ('<a href="a.html#Bottom">', "no such place"),
    ('<pre><span class="c1">#| export</span></pre>', "shows #| export")])
def test_what_the_check_refuses(check, tmp_path, page, wrong):
    (tmp_path/"a.html").write_text(GOOD + page)
    (tmp_path/"a.png").touch()
    found = check.problems(tmp_path)
    assert found == [] if wrong is None else len(found) == 1 and found[0].endswith(wrong), found

def test_fonts_of_another_host_and_an_empty_site_are_refused(check, tmp_path):
    assert "make docs" in check.problems(tmp_path)[0]
    (tmp_path/"a.html").touch()
    (tmp_path/"a.css").write_text("@font-face { src: url(https://fonts.org/a.woff2) } p { background: url(a.png) }")
    assert check.problems(tmp_path) == ["a.css loads https://fonts.org/a.woff2"]

# --- the built site

@pytest.fixture
def site(root):
    if not (root/"runs/site/html/index.html").exists(): pytest.skip("the site has not been built (make docs)")
    return root/"runs/site/html"

def test_the_built_site_is_sound(check, site): assert check.problems(site) == []

def test_the_built_site_shows_pictures_equations_and_the_korean_page(site):
    train, losses = ((site/f"core/{n}.html").read_text(encoding="utf-8") for n in ("train", "losses"))
    assert "<img" in train and "ℒ" in losses and "$$" not in losses and '<span class="tag">(3)</span>' in losses
    assert "흑백 영상 색상화" in (site/"abstract.html").read_text(encoding="utf-8")
    assert "lab_to_rgb" in (site/"searchindex.js").read_text(encoding="utf-8")

@pytest.mark.parametrize("width", [1280, 800])
def test_a_browser_opens_the_site_from_disk(site, width):
    "No request leaves the disk, nothing is wider than the window, equations are drawn, and the search finds."
    sync_api = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed (pip install playwright)")
    program = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
    if not program: pytest.skip("no Chromium was found (apt-get install chromium, or name it in CHROMIUM)")
    with sync_api.sync_playwright() as p:
        browser = p.chromium.launch(executable_path=program,
                                    args=["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"])
        page = browser.new_page(viewport={"width": width, "height": 1000})
        page.set_default_timeout(240_000)
        requests, errors = [], []
        page.on("request", lambda r: requests.append(r.url))
        page.on("pageerror", lambda e: errors.append(str(e)))
        for name in ("index", "paper", "core/losses", "core/train", "library/explore", "api/color", "abstract"):
            page.goto((site/f"{name}.html").as_uri())
            assert page.evaluate("document.documentElement.scrollWidth") <= width, name
            broken = page.evaluate("[...document.images].filter(i => i.complete && !i.naturalWidth).map(i => i.src)")
            assert not broken, broken
        page.goto((site/"core/losses.html").as_uri())
        assert page.locator(".equation math").first.bounding_box()["height"] > 10
        page.goto((site/"search.html").as_uri() + "?q=colorfulness")
        page.locator("#search-results li a").first.wait_for()
        browser.close()
    assert len(requests) > 10 and not [url for url in requests if not url.startswith(("file:", "data:"))]
    assert not errors, errors
