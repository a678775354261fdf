"""Is a table measured now the same as a recorded one? `python tests/compare_tables.py MEASURED.json RECORDED.json`

The same images, networks and weights give the same numbers up to the arithmetic of another processor or library
version: each number may differ by 2 % of the recorded one, or by the absolute amount below where that is more."""
import json, sys
from pathlib import Path

RELATIVE = 0.02
ABSOLUTE = dict(frechet=.05, frechet_ci=.1, frechet_beside=.05, frechet_beside_ci=.1, kid=5e-4, kid_std=5e-4,
                colorfulness=.1, colorfulness_ci=.1, colorfulness_difference=.5, psnr=.1, psnr_ci=.05, ssim=.002,
                perceptual=.002, perceptual_ci=.002)
NOT_COMPARED = {"seconds_per_image"}
SAME = ("dataset", "split", "images", "size", "images_sha256", "labels", "backend", "beside", "precision", "perceptual",
        "weights", "seed")

def numbers(row): return {k: v for k, v in row.items() if isinstance(v, (int, float)) and k not in NOT_COMPARED}

def tolerance(k, v):
    "How much number `k` may differ from its recorded value `v`; counts and published numbers not at all."
    return 0 if isinstance(v, int) or k.startswith("published") else max(RELATIVE*abs(v), ABSOLUTE.get(k, 0))

def differences(measured, recorded):
    "Sentences that say how two tables differ; none when they agree."
    here, there = ({r["method"]: r for r in t["rows"]} for t in (measured, recorded))
    found = [f"{k}: {measured['provenance'].get(k)!r}, recorded {recorded['provenance'].get(k)!r}" for k in SAME
             if measured["provenance"].get(k) != recorded["provenance"].get(k)]
    if not any("frechet" in numbers(r) for r in there.values()): found.append("no row was recorded")
    for method, row in there.items():
        for k, v in numbers(row).items():
            now = numbers(here.get(method, {})).get(k)
            if now is None: found.append(f"{method}, {k}: missing, recorded {v:g}")
            elif not abs(now - v) <= tolerance(k, v): found.append(f"{method}, {k}: {now:g}, recorded {v:g}")
    return found

if __name__ == "__main__":
    files = [Path(p) for p in sys.argv[1:3]]
    found = [f"there is no {p}" for p in files if not p.exists()]
    found = found or differences(*(json.loads(p.read_text(encoding="utf-8")) for p in files))
    print("\n".join(found) or f"{sys.argv[1]} agrees with {sys.argv[2]}")
    sys.exit(bool(found))
