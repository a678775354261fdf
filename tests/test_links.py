"Every link in the notebooks, the README and the other pages of the repository leads to a file."
import json, re

import pytest

LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)|src=\"([^\"]+)\"")

def targets(text):
    "What a Markdown text links to inside the repository."
    text = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    return [a or b for a, b in LINK.findall(text) if not re.match(r"[a-z]+:|data:", a or b)]

def test_links_lead_to_files(root):
    texts = [(path.parent, path.name, path.read_text(encoding="utf-8")) for path in root.glob("*.md")]
    for path in (root/"nbs").rglob("*.ipynb"):
        if ".ipynb_checkpoints" in path.parts: continue
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        texts += [(path.parent, path.name, "".join(c["source"])) for c in cells if c["cell_type"] == "markdown"]
    found = [(name, target) for folder, name, text in texts for target in targets(text) if not (folder/target).exists()]
    assert not found, found
    assert sum(len(targets(text)) for _, _, text in texts) > 50

@pytest.mark.parametrize("text, found",
                         [("[a](b.ipynb)", ["b.ipynb"]), ("![p](../f/p.png)", ["../f/p.png"]),
                          ("[w](https://x.org)", []), ("[h](#here)", []), ("[a](b.ipynb#there)", ["b.ipynb"]),
                          ("```\n[a](b)\n```", []), ('<img src="c.png">', ["c.png"])])
def test_links_are_found(text, found): assert targets(text) == found
