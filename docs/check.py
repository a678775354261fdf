"""Checks the built site: it loads nothing from another host, every link inside leads to a page and a place on it, and
no directive of nbdev shows.

    python docs/check.py runs/site/html
"""
import re, sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

REMOTE = re.compile(r"(?:https?:)?//")
LOADS = {"src", "srcset", "poster", "data", "xlink:href"}  # attributes by which an element loads something
IN_STYLES = re.compile(r"(?:url\(\s*|@import\s+)[\"']?([^\"')\s]+)")
DIRECTIVE = re.compile(r'<span class="c1">(#\|[^<]*)')  # as a comment in a cell

class Page(HTMLParser):
    "What a page loads, where it leads, and the places that can be led to."
    def __init__(self, text):
        super().__init__()
        self.loads, self.links, self.places = [], [], set()
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        for name, value in attrs:
            if not value: continue
            if name in LOADS and not (name == "data" and tag != "object"): self.loads.append(value)
            elif name == "href" and tag in ("link", "image", "use"): self.loads.append(value)
            elif name == "href" and tag == "a": self.links.append(value)
            elif name == "style": self.loads += IN_STYLES.findall(value)
            elif name == "id": self.places.add(value)

    def handle_data(self, data):
        if self.cdata_elem == "style": self.loads += IN_STYLES.findall(data)
        if self.cdata_elem == "script":  # a module or style that a script names
            self.loads += re.findall(r"(?:import\s*\(?|from|src\s*=|href\s*=)\s*[\"']((?:https?:)?//[^\"']+)", data)

def remote(loads): return [url for url in loads if REMOTE.match(url)]

def problems(site):
    "What is wrong with the site in folder `site`, one sentence each."
    texts = {p.resolve(): p.read_text(encoding="utf-8") for p in sorted(site.rglob("*.html"))
             if "_static" not in p.parts}  # which holds templates of the theme
    pages, found = {path: Page(text) for path, text in texts.items()}, []
    for path, page in pages.items():
        name = path.relative_to(site.resolve())
        found += [f"{name} loads {url}" for url in remote(page.loads)]
        found += [f"{name} shows {directive}" for directive in DIRECTIVE.findall(texts[path])]
        for link in page.links + [url for url in page.loads if not REMOTE.match(url)]:
            url = urlsplit(link)
            if url.scheme or url.netloc: continue
            target = (path.parent/unquote(url.path)).resolve() if url.path else path
            if not target.exists(): found.append(f"{name} leads to {link}, which is not there")
            elif url.fragment and target in pages and unquote(url.fragment) not in pages[target].places:
                found.append(f"{name} leads to {link}, and that page has no such place")
    for path in sorted(site.rglob("*.css")):
        loads = IN_STYLES.findall(path.read_text(encoding="utf-8"))
        found += [f"{path.relative_to(site)} loads {url}" for url in remote(loads)]
    return found if texts else [f"{site} holds no pages: build the site with `make docs`"]

if __name__ == "__main__":
    wrong = problems(Path(sys.argv[1]))
    if wrong: sys.exit("\n".join(wrong))
