"""Keeps the pictures among the notebooks' stored outputs small: one format a picture, photographs as JPEG, PNG without
an empty alpha channel.

    python .ci/small_pictures.py nbs/*.ipynb      # `make notebooks` cleans the notebooks and calls it
"""
import base64, io, json, sys
from pathlib import Path

from PIL import Image

LARGE = 60_000  # bytes from which a picture may become JPEG
PNG, JPEG = "image/png", "image/jpeg"

def encoded(img, kind, **how):
    out = io.BytesIO()
    img.save(out, kind, **how)
    return out.getvalue()

def smaller(data: dict, jpeg=True):
    "The one picture of an output as {format: bytes}, in the format that suits it; made from its PNG, which is exact."
    found = base64.b64decode("".join(data[PNG] if PNG in data else data[JPEG]))
    if PNG not in data: return {JPEG: found}
    img = Image.open(io.BytesIO(found))
    if img.mode == "RGBA" and img.getextrema()[3] == (255, 255): img = img.convert("RGB")
    png = min(found, encoded(img, "PNG", optimize=True), key=len)
    if not jpeg or img.mode != "RGB" or len(png) <= LARGE: return {PNG: png}
    photograph = encoded(img, "JPEG", quality=92, subsampling=0)
    return {JPEG: photograph} if 4 * len(photograph) < 3 * len(png) else {PNG: png}

def shrink(path: Path):
    "Rewrites the outputs of a notebook → bytes saved; the README's pictures, which come from index.ipynb, stay PNG."
    text = path.read_text(encoding="utf-8")
    nb = json.loads(text)
    outputs = [o["data"] for c in nb["cells"] for o in c.get("outputs", []) if "data" in o]
    for data in (d for d in outputs if PNG in d or JPEG in d):
        pictures = smaller(data, jpeg=path.name != "index.ipynb")
        for kind in (PNG, JPEG): data.pop(kind, None)
        data |= {kind: base64.b64encode(v).decode() for kind, v in pictures.items()}
    new = json.dumps(nb, indent=1, ensure_ascii=False, sort_keys=True) + "\n"
    if new != text: path.write_text(new, encoding="utf-8")
    return len(text) - len(new)

if __name__ == "__main__": print(f"{sum(shrink(Path(p)) for p in sys.argv[1:]) / 2**20:.1f} MiB saved")
