"""The colourfulness filter where a notebook cannot follow: killed at random moments, with a dying worker, at
ImageNet's size; quick against plain decisions; broken files during training."""
import io, multiprocessing, os, pickle, random, re, shutil, signal, subprocess, sys, threading, time, zipfile
from concurrent.futures import Future
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
import torch
from PIL import Image

from biggan_colorize import data
from biggan_colorize.data import (AT_EIGHTH, ImageDataset, ImageError, filter_colorful, filter_summary, find_dataset,
                                  imagenet_wnids, load_arrays, load_eighth, loader, photo, photo_patches,
                                  read_filter_list)

SHARED = Path(__file__).resolve().parents[2]/"shared"/"data"   # the development data
unix = pytest.mark.skipif(sys.platform == "win32", reason="needs SIGKILL and odd file names")

class Deadly(ImageDataset):
    """Kills its process, or runs out of memory, at an image whose name says so; as an importable class it reaches
    worker processes."""
    def image(self, i):
        if "kill" in self.paths[i].name: os.kill(os.getpid(), signal.SIGKILL)
        if "memory" in self.paths[i].name:
            try: raise MemoryError
            except MemoryError as e: raise ImageError(f"{self.paths[i]} is damaged (MemoryError).") from e
        return super().image(i)

def make_images(folder, n):
    folder.mkdir(exist_ok=True)
    rng = np.random.RandomState(0)
    for k in range(n):
        a = (128 + rng.randint(-20, 20, (24, 32, 1)) + rng.rand() * rng.randint(-20, 20, (24, 32, 3))).astype(np.uint8)
        Image.fromarray(a).save(folder/f"{k:04d}.png")
    return find_dataset("folder", root=folder)

@pytest.fixture(scope="module")
def images(tmp_path_factory):
    "400 small images of every colourfulness, two of them broken, and the list of a run that nobody disturbed."
    folder = tmp_path_factory.mktemp("filter")
    make_images(folder/"images", 400)
    (folder/"images"/"0007.png").write_bytes(b"broken")
    (folder/"images"/"0399.png").write_bytes(b"")
    ds = find_dataset("folder", root=folder/"images")
    return ds, filter_colorful(ds, folder/"whole.csv")

# ---- interrupted runs

class Mortal(ImageDataset):
    "Its process is killed at a random moment after `left` images, and at the latest nine images later."
    def image(self, i):
        self.left -= 1
        if self.left == 0: threading.Timer(self.delay, os.kill, (os.getpid(), signal.SIGKILL)).start()
        if self.left == -9: signal.pause()
        return super().image(i)

@unix
def test_killed_at_random_moments(images, tmp_path):
    ds, whole = images
    start = multiprocessing.get_context("forkserver")
    start.set_forkserver_preload(["biggan_colorize.data", "pytest"])
    out, partial, grew, rnd = tmp_path/"list.csv", tmp_path/"list.csv.partial", [], random.Random(0)
    for _ in range(20):
        mortal = Mortal(ds.paths, root=ds.root, split=ds.split)
        mortal.left, mortal.delay = rnd.randrange(1, 7), rnd.random() * .005
        process = start.Process(target=filter_colorful, args=(mortal, out), kwargs=dict(every=3))
        process.start()
        process.join()
        assert process.exitcode == -signal.SIGKILL and not out.exists()
        grew.append(len(read_filter_list(partial)[1]) if partial.exists() else 0)
    # killed in the middle, and every run went on from there
    assert grew == sorted(grew) and len(set(grew)) > 10 and 0 < grew[19] < 400, grew
    assert filter_colorful(ds, out).read_bytes() == whole.read_bytes()
    assert [p.name for p in tmp_path.iterdir()] == ["list.csv"]

def test_cut_at_any_byte(tmp_path):
    names = ["a, b.png", 'quo"te.png', "größe.png", "line\u2028sep.png", " space.png", "#.png", "zz.png"]
    if sys.platform != "win32": names += [os.fsdecode(b"latin\xe9.png")]
    (tmp_path/"images").mkdir()
    for k, name in enumerate(names): Image.new("RGB", (9, 9), (30 * k, 100, 10)).save(tmp_path/"images"/name)
    (tmp_path/"images"/"broken, ü.png").write_bytes(b"x")
    ds = find_dataset("folder", root=tmp_path/"images")
    data = filter_colorful(ds, tmp_path/"whole.csv").read_bytes()
    assert [r[0] for r in read_filter_list(tmp_path/"whole.csv")[1]] == [ds.relative(i) for i in range(len(ds))]
    assert len(ds.keep(tmp_path/"whole.csv")) == sum(r[2] == "1" for r in read_filter_list(tmp_path/"whole.csv")[1])
    for cut in range(len(data) + 1):
        (tmp_path/"cut.csv.partial").write_bytes(data[:cut])
        assert filter_colorful(ds, tmp_path/"cut.csv").read_bytes() == data, cut
        (tmp_path/"cut.csv").unlink()

@unix
@pytest.mark.parametrize("name", ["line\nfeed.png", "carriage\rreturn.png"])
def test_a_line_break_in_a_name_is_refused(tmp_path, name):
    Image.new("RGB", (9, 9)).save(tmp_path/name)
    with pytest.raises(ValueError, match="line break"):
        filter_colorful(find_dataset("folder", root=tmp_path), tmp_path/"list.csv")

def alive(pid):
    try: return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError: return False

def children(pid):
    return [int(p.name) for p in Path("/proc").iterdir() if p.name.isdigit() and (p/"stat").exists()
            and parent_of(p) == pid]
def parent_of(p):
    try: return int((p/"stat").read_text().rpartition(")")[2].split()[1])
    except OSError: return None

@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="reads /proc")
def test_killed_with_its_workers_left_alone(images, tmp_path):
    "SIGKILL reaches only the main process: its workers must end by themselves, and the next run goes on."
    ds, whole = images
    code = f"""
import time
from biggan_colorize.data import *
class Slow(ImageDataset):
    def image(self, i): time.sleep(.05); return super().image(i)
if __name__ == "__main__":
    ds = find_dataset("folder", root={str(ds.root)!r})
    filter_colorful(Slow(ds.paths, root=ds.root, split=ds.split), {str(tmp_path/'list.csv')!r}, workers=2, every=2)
"""
    (tmp_path/"main.py").write_text(code)
    main = subprocess.Popen([sys.executable, tmp_path/"main.py"], env=os.environ | {"OMP_NUM_THREADS": "1"})
    partial = tmp_path/"list.csv.partial"
    for _ in range(6000):
        if main.poll() is not None or partial.exists() and partial.read_bytes().count(b"\n") > 5: break
        time.sleep(.01)
    assert main.poll() is None
    workers = children(main.pid)
    main.kill()
    main.wait()
    assert len(workers) >= 2 and not (tmp_path/"list.csv").exists()
    for _ in range(6000):
        if not any(map(alive, workers)): break
        time.sleep(.01)
    assert not any(map(alive, workers))
    assert filter_colorful(ds, tmp_path/"list.csv").read_bytes() == whole.read_bytes()

@unix
@pytest.mark.parametrize("workers, end", [(2, "kill"), (1, "memory")])
def test_a_process_that_dies(tmp_path, workers, end):
    ds = make_images(tmp_path/"images", 20)
    whole = filter_colorful(ds, tmp_path/"whole.csv").read_bytes()
    ds.paths[15].rename(tmp_path/"images"/f"0015 {end}.png")
    dying = Deadly(sorted((tmp_path/"images").iterdir()), root=ds.root, split="all")
    with pytest.raises(ChildProcessError) as e: filter_colorful(dying, tmp_path/"list.csv", workers=workers, every=4)
    assert re.search(r"after \d+ of 20 images.*list.csv.partial.*fewer workers", str(e.value))
    assert "\n" not in str(e.value)
    _, rows = read_filter_list(tmp_path/"list.csv.partial")
    assert len(rows) <= 12 and (workers == 2 or len(rows) == 12)          # never beyond the group in which it died
    assert not (tmp_path/"list.csv").exists()
    mended = ImageDataset(dying.paths, root=ds.root, split="all")
    expected = whole.replace(b"0015", f"0015 {end}".encode())
    assert filter_colorful(mended, tmp_path/"list.csv").read_bytes().split(b"\n")[1:] == expected.split(b"\n")[1:]

def test_broken_files_are_counted(images):
    ds, whole = images
    _, rows = read_filter_list(whole)
    broken = [r for r in rows if r[1] == ""]
    assert [r[0] for r in broken] == ["0007.png", "0399.png"] and all(r[0] in r[3] and r[2] == "0" for r in broken)
    kept = sum(r[2] == "1" for r in rows)
    assert (filter_summary(whole) ==
            f"{kept} of 400 images are kept, {398 - kept} score below 15, 2 could not be decoded (the rows without a "
            f"score say why).")
    assert 100 < kept < 398

def test_a_damaged_list_is_one_sentence(images, tmp_path):
    ds, whole = images
    lines = whole.read_text().split("\n")
    lines[9] = "0007.png,3"
    (tmp_path/"list.csv").write_text("\n".join(lines))
    with pytest.raises(ValueError, match="list.csv is damaged at line 10"): ds.keep(tmp_path/"list.csv")

# ---- ImageNet's size

def test_at_size(tmp_path):
    """200,000 rows: resuming (the last 3 are missing), counting, keeping; benchmarks/filter.py times all 1,281,167.
    The limit is far off: it stops only what is quadratic."""
    N, wnids = 200_000, imagenet_wnids()
    labels = [k * 1000 // N for k in range(N)]
    ds = ImageDataset([f"{tmp_path}/imagenet/train/{wnids[c]}/{wnids[c]}_{k}.JPEG" for k, c in enumerate(labels)],
                      labels, wnids, 256, "imagenet", "train", root=tmp_path/"imagenet")
    out, start = tmp_path/"list.csv", time.process_time()
    with pytest.raises(ZeroDivisionError):                     # stopped at the first image: only the header is there
        ds.image = lambda i: 1 / 0
        filter_colorful(ds, out)
    del ds.image
    with open(tmp_path/"list.csv.partial", "a") as f:
        f.writelines(f"{ds.relative(k)},{k % 1000 / 10:.4f},{int(k % 1000 >= 150)},\n" for k in range(N - 3))
    filter_colorful(ds, out)
    assert filter_summary(out).endswith("3 could not be decoded (the rows without a score say why).")
    kept = ds.keep(out)
    assert len(kept) == sum(k % 1000 >= 150 for k in range(N - 3)) and kept.relative(1).endswith("_151.JPEG")
    assert time.process_time() - start < 60

def test_a_worker_gets_paths_not_the_data_set(tmp_path):
    "What a worker process holds does not grow with the data set, and the rows that wait for a slow one are bounded."
    ds = ImageDataset([tmp_path/f"{k}.png" for k in range(100_000)], root=tmp_path)
    rows, seen = data._rows(ds, 0, 2, 10, 15, "hasler", False), []
    class Pool:
        def __init__(self, workers, context, start, job): seen.append(len(pickle.dumps(job)))
        def submit(self, work, paths):
            seen.append(len(paths))
            future = Future()
            future.set_result([paths])
            return future
        def shutdown(self, cancel_futures): seen.append("end")
    with mock.patch.object(data, "ProcessPoolExecutor", Pool): assert next(rows) == [ds.paths[:10]]
    assert seen[0] < 3000 and seen[1:] == [10] * 8                                    # 4 groups a worker
    rows.close()
    assert seen[-1] == "end"

# ---- quick decisions

def rows_of(ds, out, **how): return read_filter_list(filter_colorful(ds, out, **how))[1]

def same_decisions(ds, folder):
    "Decisions of quick and plain on a data set are equal → share of images that quick scored in full."
    plain, quick = rows_of(ds, folder/"plain.csv"), rows_of(ds, folder/"quick.csv", quick=True)
    assert [r[:1] + r[2:3] for r in plain] == [r[:1] + r[2:3] for r in quick]
    # all other rows are the same to the last digit
    for p, q in zip(plain, quick): assert p == q or q[3] == AT_EIGHTH and float(q[1]) <= float(p[1]) + 1
    return sum(r[3] != AT_EIGHTH for r in quick) / len(quick)

@pytest.mark.parametrize("subsampling", [0, 1, 2])
def test_quick_on_photographs(tmp_path, subsampling):
    "Patches of six photographs, from full colour to gray, as JPEG with every chroma subsampling."
    (tmp_path/"images").mkdir()
    patches = photo_patches(36, 128)
    for k in range(36):
        img = patches.image(k)
        gray = img.convert("L").convert("RGB")
        for s in (0, .2, .35, .5, 1):
            Image.blend(gray, img, s).save(tmp_path/"images"/f"{k:02d}_{s}.JPEG", quality=50 + k,
                                           subsampling=subsampling)
    assert .3 < same_decisions(find_dataset("folder", root=tmp_path/"images"), tmp_path) < .95

def test_quick_on_imagenet(tmp_path):
    if not (SHARED/"imagenet-256-sample.zip").exists(): pytest.skip("the development data is not here")
    with zipfile.ZipFile(SHARED/"imagenet-256-sample.zip") as z: z.extractall(tmp_path)
    ds = find_dataset("imagenet", root=tmp_path)
    assert len(ds) == 300 and same_decisions(ds, tmp_path) < .25

def test_quick_on_imagenet_20(tmp_path):
    "Every fifth of the validation images; benchmarks/filter.py compares all training images."
    if not (SHARED/"imagenet-20"/"val.zip").exists(): pytest.skip("the development data is not here")
    with zipfile.ZipFile(SHARED/"imagenet-20"/"val.zip") as z:
        z.extractall(tmp_path, sorted(m for m in z.namelist() if m.endswith(".JPEG"))[::5])
    ds = find_dataset("folder", root=tmp_path/"imagenet-20")
    assert len(ds) == 1000 and same_decisions(ds, tmp_path) < .25

def test_quick_of_what_is_no_jpeg(images, tmp_path):
    ds, whole = images
    # PNG, too small, broken: as plain
    assert [r for r in rows_of(ds, tmp_path/"list.csv", quick=True)] == read_filter_list(whole)[1]
    patches = photo_patches(6)
    assert rows_of(patches, tmp_path/"a.csv", quick=True) == rows_of(patches, tmp_path/"b.csv")

def test_quick_of_damaged_files(tmp_path):
    "A damaged JPEG is refused by quick exactly when plain refuses it, with the same words."
    (tmp_path/"images").mkdir()
    rnd, buffer = random.Random(0), io.BytesIO()
    photo("coffee").resize((160, 120)).save(buffer, "JPEG")
    for k in range(200):
        data = bytearray(buffer.getvalue())
        for _ in range(rnd.randrange(1, 6)): data[rnd.randrange(len(data))] = rnd.randrange(256)
        (tmp_path/"images"/f"{k:03d}.jpg").write_bytes(data[:rnd.randrange(len(data))] if rnd.random() < .3 else data)
    ds = find_dataset("folder", root=tmp_path/"images")
    plain, quick = rows_of(ds, tmp_path/"plain.csv"), rows_of(ds, tmp_path/"quick.csv", quick=True)
    refused = [r for r in plain if r[1] == ""]
    assert 30 < len(refused) < 170 and [r for r in quick if r[1] == ""] == refused
    assert sum(r[3] == AT_EIGHTH for r in quick) > 20

def test_plain_and_quick_lists_do_not_mix(images, tmp_path):
    ds, whole = images
    with pytest.raises(ValueError, match="quick_margin"): filter_colorful(ds, whole, quick=True)
    quick = filter_colorful(ds, tmp_path/"list.csv", quick=True)
    with pytest.raises(ValueError, match="quick_margin"): filter_colorful(ds, quick)
    with pytest.raises(ValueError, match="hasler"): filter_colorful(ds, tmp_path/"abs.csv", variant="abs", quick=True)

def test_the_benchmark(benchmark_script, tmp_path):
    "It compares what it should, on the photographs that are always there."
    benchmark = benchmark_script("filter")
    ds = benchmark.photographs(tmp_path/"photographs").take(range(0, 30, 3))
    n, area, plain, quick, full, differ = benchmark.measure(ds, tmp_path, 1)
    assert (n, differ) == (10, 0) and area > 200_000 and 0 < full < 1 and min(plain, quick) > 1

def test_an_eighth(tmp_path):
    "A pixel is the mean of its block; blocks that reach over the edge are cut off, whatever is in them."
    a = np.full((83, 101, 3), 90, np.uint8); a[:, 96:] = (255, 0, 0); a[80:] = (0, 0, 255); a[:8, :8] = (200, 90, 90)
    Image.fromarray(a).save(tmp_path/"a.jpg", quality=100, subsampling=0)
    small = np.asarray(load_eighth(tmp_path/"a.jpg")).astype(int)
    assert small.shape == (10, 12, 3)
    assert np.abs(small[1:] - 90).max() <= 2 and np.abs(small[0, 0] - (200, 90, 90)).max() <= 2
    Image.fromarray(a).convert("CMYK").save(tmp_path/"cmyk.jpg")
    Image.fromarray(a).convert("L").save(tmp_path/"gray.jpg")
    Image.fromarray(a[:60]).save(tmp_path/"low.jpg"); Image.fromarray(a).save(tmp_path/"a.png")
    for name in ("cmyk.jpg", "gray.jpg", "low.jpg", "a.png", "nowhere.jpg"):
        assert load_eighth(tmp_path/name) is None, name

# ---- broken files during training

def broken_set(folder, on_error="raise"):
    ds = make_images(folder/"images", 12)
    ds.paths[4].write_bytes(b"broken")
    ds.paths[5].unlink()
    ds.paths[11].write_bytes(b"")      # two in a row, and the last one
    return ImageDataset(ds.paths, [k % 3 for k in range(12)], imagenet_wnids()[:3], 16, root=ds.root, on_error=on_error)

@pytest.mark.parametrize("workers", [0, 2])
def test_training_goes_on_past_broken_files(tmp_path, workers):
    ds = broken_set(tmp_path)
    with pytest.raises((ImageError, FileNotFoundError)): list(loader(ds, 4, workers=workers))
    going_on, skipped, xs, ys = ds.skip_errors(), [], [], []
    for x, y, texts in loader(going_on, 4, workers=workers):
        assert x.shape == (4, 3, 16, 16) and len(texts) == 4
        xs.append(x); ys += y.tolist(); skipped += texts
    assert skipped == ["", "", "", "", "0004.png\n0005.png", "0005.png", "", "", "", "", "", "0011.png"]
    # the labels of the images that came instead: 6, 6 and 0
    assert ys == [0, 1, 2, 0, 0, 0, 0, 1, 2, 0, 1, 0]
    x = torch.cat(xs)
    for k, came in ((4, 6), (5, 6), (10, 10), (11, 0)): assert torch.equal(x[k], ds[came][0]), k

def test_load_arrays_goes_on_past_broken_files(tmp_path):
    ds = broken_set(tmp_path)
    with pytest.raises(ImageError, match="0004.png"): load_arrays(ds)
    x, y, skipped = load_arrays(ds.skip_errors())
    assert skipped == ["0004.png", "0005.png", "0011.png"] and y.tolist() == [0, 1, 2, 0, 0, 0, 0, 1, 2, 0, 1, 0]
    for k, i in enumerate(y): assert torch.equal(x[k].float() / 255, ds.skip_errors()[k][0])
    whole = ds.take([0, 1, 2]).skip_errors()
    assert (load_arrays(whole)[2] == [] and whole[1][2] == "" and whole.take([2]).on_error == "skip"
            and ds.on_error == "raise")

def test_a_whole_folder_that_is_gone_is_an_error(tmp_path):
    ds = broken_set(tmp_path, "skip")
    shutil.rmtree(tmp_path/"images")
    with pytest.raises(ImageError, match="12 images in a row cannot be decoded.*There is no image at"): ds[3]
    many = ImageDataset([tmp_path/f"{k}.png" for k in range(500)], on_error="skip")
    with pytest.raises(ImageError, match="100 images in a row"): many[7]
    with pytest.raises(ValueError, match="'ignore'"): ImageDataset(ds.paths, on_error="ignore")
    # or `for x, y, skipped in ds` would never end
    with pytest.raises(IndexError): many[500]
