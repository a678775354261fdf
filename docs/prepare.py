"""Prepares the sources of the site: copies of the notebooks as they are stored, the recorded tables, and a page of the
interface for every module. Nothing is imported or executed; `make docs` calls it before Sphinx.

    python docs/prepare.py runs/site/source
"""
import ast, io, json, os, re, shutil, sys, tokenize
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LINK = re.compile(r"(?P<head>!?\[(?P<text>[^\[\]]*)\]\(|src=\")(?P<target>[^)#\s\"]+)(?P<tail>[^)\"]*[)\"])")
FENCE = re.compile(r"(^```.*?^```)", flags=re.DOTALL | re.MULTILINE)

# --- notebooks

def directives(source):
    "The nbdev directives of a code cell, and the cell without them."
    lines = source.splitlines(keepends=True)
    return ([line[2:].strip() for line in lines if line.startswith("#|")],
            "".join(line for line in lines if not line.startswith("#|")).strip("\n"))

def place(path):
    "Where a file of the repository lies in the site: the notebooks one folder higher, README.md as the front page."
    if path == Path("README.md"): return Path("index.ipynb")
    return path.relative_to("nbs") if path.parts[0] == "nbs" else path

def bring(path, site, root=ROOT):
    "Copies a file of the repository into the site, a Markdown file as a page with a title."
    page = site/place(path)
    if page.exists() or page.suffix == ".ipynb": return
    page.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix != ".md": shutil.copy(root/path, page)
    else:
        page.touch()  # a page that links to itself is written once
        text = relink((root/path).read_text(encoding="utf-8"), path, site, root)
        if not text.startswith("#"):  # a record: a title, and its sections below that
            text = f"# {path.stem}\n\n" + re.sub(r"^#{2,}", "##", text, flags=re.M)
        page.write_text(f"---\norphan: true\n---\n{text}", encoding="utf-8")  # need not be in the sidebar

def relink(text, path, site, root=ROOT):
    "Markdown of the file `path` with links that fit the site; what they lead to is brought, a folder is plain text."
    here = (site/place(path)).parent

    def new(match):
        if re.match(r"[a-z]+:", match["target"]): return match[0]
        found = Path(os.path.relpath((root/path).parent/match["target"], root))
        if (root/found).is_dir(): return match["text"] or match[0]
        target = os.path.relpath(site/place(found), here)
        if not match[0].startswith("![") and found.suffix not in (".md", ".ipynb"):  # no page: the file itself opens
            if (root/found).is_file(): bring(found, site/"linked", root)
            if match["text"] is not None: return f'<a href="{target}">{match["text"]}</a>'
            return match["head"] + target + match["tail"]
        if (root/found).is_file(): bring(found, site, root)
        return match["head"] + target + match["tail"]
    return "".join(part if part.startswith("```") else LINK.sub(new, part) for part in FENCE.split(text))

def for_site(nb, path, site, root=ROOT):
    "A notebook as the site shows it: without hidden cells and directives; under its title a link to the module's page."
    cells, module = [], None
    for cell in nb["cells"]:
        source = "".join(cell["source"])
        if cell["cell_type"] == "markdown": source = relink(source, path, site, root)
        elif cell["cell_type"] == "code":
            found, source = directives(source)
            module = next((d.split()[1] for d in found if d.startswith("default_exp")), module)
            if "hide" in found or not source: continue
            for data in (o["data"] for o in cell["outputs"] if "text/markdown" in o.get("data", {})):
                data["text/markdown"] = relink("".join(data["text/markdown"]), path, site, root)
        cells.append(cell | {"source": source})
    if module:
        page = os.path.relpath(f"api/{module}.md", place(path).parent)
        note = f"{{.module}}\nModule [`biggan_colorize.{module}`]({page})"
        title = next(i for i, c in enumerate(cells) if c["cell_type"] == "markdown")
        cells.insert(title + 1, {"cell_type": "markdown", "id": "module", "metadata": {}, "source": note})
    return nb | {"cells": cells}

def anchor(title):
    "The name of a heading, as Jupyter links to it."
    return title.replace(" ", "-")

def notebooks(root=ROOT):
    "Every notebook, relative to the repository."
    return sorted(p.relative_to(root) for p in (root/"nbs").rglob("*.ipynb") if ".ipynb_checkpoints" not in p.parts)

# --- the interface

def comments(source):
    "{line: comment} of a module, and the lines that hold nothing but a comment."
    tokens = [t for t in tokenize.generate_tokens(io.StringIO(source).readline)
              if t.type == tokenize.COMMENT and not t.string.startswith("# %%")]  # which nbdev puts before a cell
    return {t.start[0]: t.string.lstrip("# ") for t in tokens}, {t.start[0] for t in tokens
                                                                 if not t.line[:t.start[1]].strip()}

def explained(nodes, notes):
    "{name: comment} of parameters or fields: the comment on the same line, or the lines of comment right above."
    (found, alone), named = notes, {}
    for name, node in nodes:
        line, above = node.end_lineno, node.lineno - 1
        while above in alone: above -= 1
        text = found.get(line) if line not in alone else None
        lines = [found[n] for n in range(above + 1, node.lineno) if n in found]
        named[line] = name, " ".join([text] if text else lines)   # of several on one line, the last has the comment
    return {name: text for name, text in named.values() if text}

def parameters(node):
    "The parameters of a function as (name, node); with the default, which may end on a later line."
    args = node.args
    positional = [*args.posonlyargs, *args.args]
    defaults = [None] * (len(positional) - len(args.defaults)) + args.defaults
    pairs = [*zip(positional, defaults), *zip(args.kwonlyargs, args.kw_defaults)]
    for arg, default in pairs:
        if default is not None: arg.end_lineno = default.end_lineno
    return [(arg.arg, arg) for arg, _ in pairs]

def quoted(text):
    "A docstring or comment as Markdown: what looks like markup outside of `code` is plain text."
    parts = re.split(r"(`[^`]*`)", text or "")
    parts = [re.sub(r"([\\*_<>\[\]{}$|])", r"\\\1", part) if i % 2 == 0 else part for i, part in enumerate(parts)]
    return "".join(parts)

def block(kind, signature, body, options=()):
    "A MyST directive; the fence is longer than any inside."
    fence = ":" * (3 + max((len(m) for m in re.findall(r"^:{3,}", "\n".join(body), flags=re.MULTILINE)), default=0))
    # quoted as YAML, which would take the quotes of a string away
    head = [f":{name}: " + (f"'{value.replace(chr(39), chr(39)*2)}'" if value else "") for name, value in options]
    return [fence + f"{{py:{kind}}} {signature}", *head, "", *body, fence, ""]

def docstring(node): return [quoted(ast.get_docstring(node)), ""]

def plain(default):
    "A default as it can be read: of an option of the command its value, and `...` for what is long."
    if isinstance(default, ast.Call) and ast.unparse(default.func).startswith("typer."):
        default = default.args[0] if default.args else ast.Constant(None)
    return default if default is None or len(ast.unparse(default)) <= 60 else ast.Constant(...)

def signature(node, method):
    "name(parameters) -> type, without self."
    args = node.args
    if method and args.args: args.args = args.args[1:]
    args.defaults, args.kw_defaults = [plain(d) for d in args.defaults], [plain(d) for d in args.kw_defaults]
    quoted_type = isinstance(node.returns, ast.Constant) and node.returns.value  # -> "Type"
    returns = f" -> {quoted_type or ast.unparse(node.returns)}" if node.returns else ""
    return f"{node.name}({ast.unparse(args)}){returns}"

def kind_of(node, method):
    "property, classmethod, staticmethod, method or function, from the decorators; `@patch` has arguments for these."
    if not method: return "function"
    names = " ".join(ast.unparse(d) for d in node.decorator_list)
    if "property" in names or "as_prop" in names: return "property"
    if "classmethod" in names or "cls_method" in names: return "classmethod"
    return "staticmethod" if "staticmethod" in names else "method"

def describe_function(node, notes, method=False):
    kind, (found, alone) = kind_of(node, method), notes
    end, first = node.returns.end_lineno if node.returns else 0, node.body[0].lineno
    notes = {line: text for line, text in found.items() if node.lineno <= line < first and line != end}, alone
    fields = [f":param {name}: {quoted(text)}" for name, text in explained(parameters(node), notes).items()
              if name not in ("self", "cls")]
    if end != first and end in found: fields.append(f":returns: {quoted(found[end])}")
    if kind == "property":
        options = [("type", ast.unparse(node.returns))] if node.returns else []
        return block(kind, node.name, docstring(node), options)
    return block(kind, signature(node, method and kind != "staticmethod"), [*docstring(node), *fields, ""])

def describe_field(node, notes):
    comment = explained([(node.target.id, node)], notes).get(node.target.id, "")
    options = [("no-contents-entry", ""), ("type", ast.unparse(node.annotation))]
    if node.value is not None: options.append(("value", ast.unparse(node.value)))
    return block("attribute", node.target.id, [quoted(comment)], options)

def patched(tree):
    "{class: methods} that a module adds with fastcore's `@patch`, to the class of their `self`."
    methods = {}
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and any(ast.unparse(d).startswith("patch") for d in node.decorator_list):
            methods.setdefault(ast.unparse(node.args.args[0].annotation), []).append(node)
    return methods

def describe_class(node, notes, patches=()):
    body = docstring(node)
    made = next((n for n in node.body if isinstance(n, ast.FunctionDef) and n.name == "__init__"), None)
    head = signature(made, method=True).removeprefix("__init__") if made else ""
    if made:
        said = explained(parameters(made), notes)
        body += [f":param {name}: {quoted(text)}" for name, text in said.items()] + [""]
    for n in [*node.body, *patches]:
        if isinstance(n, ast.AnnAssign) and not n.target.id.startswith("_"): body += describe_field(n, notes)
        if isinstance(n, ast.FunctionDef) and not n.name.startswith("_"): body += describe_function(n, notes, True)
    return block("class", node.name + head, body)

def describe_constant(node, name, notes):
    value = ast.unparse(node.value)
    options = [("value", value)] if len(value) <= 80 else []
    return block("data", name, [quoted(explained([(name, node)], notes).get(name, ""))], options)

def interface(source, module, notebook):
    "The page of a module, from its source: what it exports, in its order, with comments as parameters' explanations."
    tree, notes = ast.parse(source), comments(source)
    patches = patched(tree)
    exported = {name for node in tree.body if isinstance(node, ast.Assign)
                for target in node.targets if isinstance(target, ast.Name) and target.id == "__all__"
                for name in ast.literal_eval(node.value)}
    page = [f"# {module.rpartition('.')[2]}", "", f"`{module}`, exported by [`{notebook}`](../{notebook}.ipynb)", "",
            quoted(ast.get_docstring(tree)), "", f":::{{py:module}} {module}", ":::", ""]
    added = [node for nodes in patches.values() for node in nodes]
    for node in tree.body:
        if node in added: continue
        if isinstance(node, ast.FunctionDef) and node.name in exported: page += describe_function(node, notes)
        if isinstance(node, ast.ClassDef) and node.name in exported:
            page += describe_class(node, notes, patches.get(node.name, ()))
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and node.targets[0].id in exported:
            page += describe_constant(node, node.targets[0].id, notes)
    return "\n".join(page)

def modules(root=ROOT):
    "(path, notebook) of every exported module."
    for path in sorted((root/"biggan_colorize").rglob("*.py")):
        made = re.search(r"File to edit: (?:\.\./)+nbs/(.*)\.ipynb", path.read_text(encoding="utf-8"))
        if made: yield path, made[1]

# --- all of it

def prepare(site: Path, root=ROOT):
    "Writes the sources of the site."
    shutil.rmtree(site, ignore_errors=True)
    for path in notebooks(root):
        page = site/place(path)
        page.parent.mkdir(parents=True, exist_ok=True)
        nb = for_site(json.loads((root/path).read_text(encoding="utf-8")), path, site, root)
        if path.name == "index.ipynb":  # the front page holds the sidebar
            source = (root/"docs/sidebar.md").read_text(encoding="utf-8")
            nb["cells"].append({"cell_type": "markdown", "id": "sidebar", "metadata": {}, "source": source})
        page.write_text(json.dumps(nb, ensure_ascii=False), encoding="utf-8")
    for path in (root/"figures").glob("*.md"): bring(path.relative_to(root), site, root)
    records = "# Recorded measurements\n\n:::{toctree}\n:glob:\n\nfigures/*\n:::\n"
    (site/"records.md").write_text(records, encoding="utf-8")
    (site/"api").mkdir()
    rows = []
    for path, notebook in modules(root):
        name = ".".join(path.relative_to(root).with_suffix("").parts)
        page = name.removeprefix("biggan_colorize.")
        source = path.read_text(encoding="utf-8")
        (site/"api"/f"{page}.md").write_text(interface(source, name, notebook), encoding="utf-8")
        rows.append((page, quoted(ast.get_docstring(ast.parse(source)))))
    lines = ["# Interface", "", "What each module exports, from its docstrings.", "", "| module | holds |", "|---|---|",
             *(f"| [`{page}`]({page}.md) | {holds} |" for page, holds in rows), "", ":::{toctree}", ":hidden:", "",
             *(page for page, _ in rows), ":::"]
    (site/"api/index.md").write_text("\n".join(lines), encoding="utf-8")
    shutil.copy(root/"docs/abstract.md", site)

if __name__ == "__main__": prepare(Path(sys.argv[1]).resolve())
