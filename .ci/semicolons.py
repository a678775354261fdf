"""Finds statements that a semicolon joins, in notebooks and Python files. Lines that draw may hold them.

    python .ci/semicolons.py PATH...      # files, or folders with all that is in them
"""
import io, json, re, sys, tokenize
from pathlib import Path

DRAWS = re.compile(r"\b(ax|axes|fig|plt|a|axs|left|right|inset|draw|canvas|display|picture|cbar)\w*\s*[.\[(]")

def joined(source):
    "The lines on which a semicolon joins two statements, except those that draw; one at the end silences an output."
    try: tokens = list(tokenize.generate_tokens(io.StringIO(source).readline))
    except (tokenize.TokenError, SyntaxError): return []  # no Python
    found = {t.line.rstrip(): t.line[t.end[1]:] for t in reversed(tokens) if t.type == tokenize.OP and t.string == ";"}
    return [line.strip() for line, rest in reversed(found.items())
            if rest.strip() and not DRAWS.search(line) and line.lstrip()[0] not in "!%"]  # lines for the shell

def sources(path):
    "What of a file is Python."
    text = path.read_text(encoding="utf-8")
    if path.suffix != ".ipynb": return [text]
    return ["".join(c["source"]) for c in json.loads(text)["cells"] if c["cell_type"] == "code"]

def files(path):
    "The notebooks and Python files of a folder, or the file itself."
    if path.is_file(): return [path]
    return [p for p in sorted(path.rglob("*")) if p.suffix in (".py", ".ipynb") and ".ipynb_checkpoints" not in p.parts]

if __name__ == "__main__":
    found = [f"{p}: {line}" for arg in sys.argv[1:] for p in files(Path(arg)) for s in sources(p) for line in joined(s)]
    if found: sys.exit("\n".join([*found, "Write one statement a line; only lines that draw may hold semicolons."]))
