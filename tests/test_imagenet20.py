"The dataset imagenet-20: its rule, the forms it comes in, bad inputs, and that no validation image is in train."
import hashlib, os, shutil, warnings, zipfile
from pathlib import Path

import pytest
from PIL import Image

from biggan_colorize.data import (IMAGENET_20, IMAGENET_20_ZIPS, OFFICIAL, find_dataset, hold_out, imagenet_wnids,
                                  official_images)

SPLITS = ("train", "val", "official")
OTHERS = "ignore:The .* images found in"           # the warning about made-up images

def real_root():
    "The data root that holds imagenet-20's seven zip files, or None."
    roots = [os.environ.get("BIGGAN_COLORIZE_DATA"), *(d/"shared"/"data" for d in Path(__file__).resolve().parents)]
    def whole(d): return all((d/"imagenet-20"/z).is_file() for z in IMAGENET_20_ZIPS)
    return next((Path(d) for d in roots if d and whole(Path(d))), None)

@pytest.fixture(scope="module")
def real(tmp_path_factory):
    "The three splits from the real zip files, unpacked to a temporary cache folder."
    if real_root() is None: pytest.skip("imagenet-20's zip files are not here")
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        warnings.simplefilter("error")
        return {s: find_dataset("imagenet-20", s, root=real_root()) for s in SPLITS}

@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch): monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path/"cache"))

def digest(name): return hashlib.sha256(name.encode()).hexdigest()
def names(dataset): return [p.name for p in dataset.paths]
def write(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()

def make_folder(top, each=3):
    "A small folder imagenet-20 of empty files."
    for c, w in enumerate(IMAGENET_20):
        for k in range(each): write(top/"train"/w/f"{w}_{k}.JPEG")
        for k in range(each, 2*each): write(top/"val"/w/f"{w}_{k}.JPEG")
        for k in range(2): write(top/"val"/w/f"{OFFICIAL}{20*k + c + 1:08d}.JPEG")
    return top

def make_zips(folder, place):
    "The seven zip files of a folder imagenet-20, laid into `place`."
    place.mkdir(parents=True, exist_ok=True)
    files = sorted(p for p in folder.rglob("*.JPEG"))
    for k, z in enumerate(IMAGENET_20_ZIPS):
        with zipfile.ZipFile(place/z, "w") as out:
            for i, p in enumerate(p for p in files if (p.parts[-3] == "val") == (z == "val.zip")):
                if z == "val.zip" or i % 6 == k: out.write(p, Path("imagenet-20")/p.relative_to(folder))

def make_imagenet(root, train, official):
    "A full ImageNet of empty files; `train` and `official` are {WordNet id: names}."
    for part, those in (("train", train), ("val", official)):
        for w, files in those.items():
            for name in files: write(root/"imagenet"/part/w/name)

# the real images

def test_no_validation_image_is_in_train(real):
    train, val, official = (set(names(real[s])) for s in SPLITS)
    assert (len(train), len(val), len(official)) == (20348, 5000, 1000) == tuple(len(real[s]) for s in SPLITS)
    assert not train & val and official < val and not any(n.startswith(OFFICIAL) for n in train)

def test_only_one_photograph_is_in_train_under_another_name(real):
    train = {p.read_bytes(): p.name for p in real["train"].paths}
    twins = [(p.name, train[p.read_bytes()]) for p in real["val"].paths if p.read_bytes() in train]
    assert twins == [("n02087394_12539.JPEG", "n02089973_2860.JPEG")]

def test_classes_labels_and_order(real):
    val, official = real["val"], real["official"]
    assert val.classes == sorted(val.classes) == list(IMAGENET_20) and set(val.classes) < set(imagenet_wnids())
    assert len(set(val.class_names())) == 20 and not any(n.startswith("n0") for n in val.class_names())
    for d in real.values(): assert all(p.parent.name == d.classes[k] for p, k in zip(d.paths, d.labels))
    for d, each in ((val, 250), (official, 50)): assert [d.labels.count(k) for k in range(20)] == [each]*20
    assert official.paths == [val.paths[i] for i in official_images(val)] and val.labels == sorted(val.labels)

def test_images_are_as_decoded(real):
    val = real["val"]
    assert val.size == 128
    for i in range(0, len(val), 50):
        with Image.open(val.paths[i]) as img: assert img.size == (128, 128) and val.square(i).tobytes() == img.tobytes()

def invented(w, low, high, n=50):
    "`n` names of a class whose hashes lie between two others."
    candidates = (f"{w}_{k}.JPEG" for k in range(10**6, 10**7))
    between = (name for name in candidates if low < digest(name) < high)
    return [next(between) for _ in range(n)]

def test_the_rule_gives_the_archive_from_a_full_imagenet(real, tmp_path):
    "Real names; for the 50 a class that the archive lacks, invented ones with hashes between val's and train's."
    train, own = {}, {}
    for k, w in enumerate(IMAGENET_20):
        rest = [p.name for p, label in zip(real["train"].paths, real["train"].labels) if label == k]
        here = [p.name for p, label in zip(real["val"].paths, real["val"].labels) if label == k]
        own[w] = [n for n in here if n.startswith(OFFICIAL)]
        held = [n for n in here if n not in own[w]]
        assert len(held) == 200 and max(map(digest, held)) < min(map(digest, rest))
        train[w] = held + rest + invented(w, max(map(digest, held)), min(map(digest, rest)))
    assert sum(map(len, train.values())) == 25348 and sorted({len(v) for v in train.values()}) == [754, 1194, 1300]
    make_imagenet(tmp_path, train, own)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for s in SPLITS:
            ruled = find_dataset("imagenet-20", s, root=tmp_path)
            assert names(ruled) == names(real[s]) and ruled.labels == real[s].labels, s

# made-up images

@pytest.fixture
def imagenet(tmp_path):
    make_imagenet(tmp_path, {w: [f"{w}_{k}.JPEG" for k in range(253)] for w in IMAGENET_20},
                  {w: [f"{OFFICIAL}{20*k + c + 1:08d}.JPEG" for k in range(50)] for c, w in enumerate(IMAGENET_20)})
    return tmp_path

@pytest.mark.filterwarnings(OTHERS)
def test_the_rule(imagenet):
    found = {s: find_dataset("imagenet-20", s, root=imagenet) for s in SPLITS}
    for k, w in enumerate(IMAGENET_20):
        order = sorted((f"{w}_{i}.JPEG" for i in range(253)), key=digest)
        mine = {s: {p.name for p, label in zip(d.paths, d.labels) if label == k} for s, d in found.items()}
        assert mine["train"] == set(order[250:]) and mine["val"] == mine["official"] | set(order[:200])
        assert len(mine["official"]) == 50 and all(n.startswith(OFFICIAL) for n in mine["official"])

@pytest.mark.filterwarnings(OTHERS)
def test_flat_validation_folder(imagenet):
    known = {s: names(find_dataset("imagenet-20", s, root=imagenet)) for s in SPLITS}
    val, rows = imagenet/"imagenet"/"val", ["ImageId,PredictionString"]
    for p in sorted(val.glob("*/*")):
        rows.append(f"{p.stem},{p.parent.name} 1 2 3 4")
        p.rename(val/p.name)
    for w in IMAGENET_20: (val/w).rmdir()
    with pytest.raises(ValueError, match="no labels"): find_dataset("imagenet-20", root=imagenet)
    (imagenet/"imagenet"/"LOC_val_solution.csv").write_text("\n".join(rows))
    assert {s: names(find_dataset("imagenet-20", s, root=imagenet)) for s in SPLITS} == known

@pytest.mark.filterwarnings(OTHERS)
def test_the_same_from_folder_and_zips(tmp_path):
    folder = make_folder(tmp_path/"a"/"imagenet-20")
    for place in (tmp_path/"b", tmp_path/"c"/"imagenet-20"): make_zips(folder, place)
    for s in SPLITS:
        found = [find_dataset("imagenet-20", s, root=tmp_path/d) for d in "abc"]
        relative = [[d.relative(i) for i in range(len(d))] for d in found]
        assert relative[0] == relative[1] == relative[2] and found[0].labels == found[1].labels
        assert found[1].paths == found[2].paths
    unpacked = list((tmp_path/"cache"/"biggan_colorize").iterdir())
    assert len(unpacked) == 1 and unpacked[0].name.startswith("imagenet-20-")

def collections_of(imagenet, sizes=("", "")):
    "Imagenette and Imagewoof made of a full ImageNet, divided into train and val otherwise than ImageNet."
    for k, p in enumerate(sorted((imagenet/"imagenet").glob("*/*/*.JPEG"))):
        dog = "n02086240" <= p.parent.name <= "n02115641"
        name = f"imagewoof2{sizes[1]}" if dog and p.parent.name != "n02102040" else f"imagenette2{sizes[0]}"
        write(imagenet/name/("val" if k % 3 else "train")/p.parent.name/p.name)
    shutil.rmtree(imagenet/"imagenet")

@pytest.mark.filterwarnings(OTHERS)
@pytest.mark.parametrize("sizes", [("", ""), ("-320", "-160")])
def test_the_same_from_the_public_collections(imagenet, sizes):
    known = {s: (names(d), d.labels) for s in SPLITS for d in [find_dataset("imagenet-20", s, root=imagenet)]}
    collections_of(imagenet, sizes)
    found = {s: find_dataset("imagenet-20", s, root=imagenet) for s in SPLITS}
    assert {s: (names(d), d.labels) for s, d in found.items()} == known
    assert found["val"].relative(0).startswith(f"imagenette2{sizes[0]}/")

def test_one_collection_is_not_enough(imagenet):
    collections_of(imagenet)
    first = next((imagenet/"imagewoof2"/"train"/IMAGENET_20[1]).iterdir())
    first.rename(first.with_name("cat.JPEG"))
    refused(ValueError, "cat.JPEG", "ImageNet's file names", root=imagenet)
    shutil.rmtree(imagenet/"imagewoof2")
    refused(FileNotFoundError, "imagenette2 and imagewoof2", "github.com/fastai/imagenette", root=imagenet)

def test_other_images_give_a_warning(tmp_path):
    make_folder(tmp_path/"imagenet-20")
    with pytest.warns(UserWarning, match="The 60 images found in .* are not the 20,348 of imagenet-20's train"):
        find_dataset("imagenet-20", "train", root=tmp_path)

def refused(kind, *words, split="val", root=None):
    with pytest.raises(kind) as e: find_dataset("imagenet-20", split, root=root)
    text = str(e.value)
    assert all(w in text for w in words) and "\n" not in text and text.endswith("."), text

def test_nothing_there(tmp_path):
    place = str(tmp_path/"imagenet-20"/"val")
    refused(FileNotFoundError, place, "train-0.zip to train-5.zip", "BIGGAN_COLORIZE_DATA", root=tmp_path)
    (tmp_path/"val.zip").write_bytes(b"of another data set")
    refused(FileNotFoundError, "none is there", root=tmp_path)

@pytest.mark.parametrize("split", SPLITS)
def test_a_missing_zip(tmp_path, split):
    make_zips(make_folder(tmp_path/"a"), tmp_path/"imagenet-20")
    (tmp_path/"imagenet-20"/"train-3.zip").unlink()
    refused(FileNotFoundError, "where 6 of them are", "missing: train-3.zip", split=split, root=tmp_path)

def test_a_damaged_and_a_foreign_zip(tmp_path):
    make_zips(make_folder(tmp_path/"a"), tmp_path/"imagenet-20")
    bad = tmp_path/"imagenet-20"/"train-2.zip"
    bad.write_bytes(bad.read_bytes()[:200])
    refused(ValueError, str(bad), "damaged", root=tmp_path)
    with zipfile.ZipFile(bad, "w") as z: z.writestr("holiday/a.JPEG", b"")
    refused(ValueError, str(bad), "not a part of imagenet-20", root=tmp_path)
    assert not (tmp_path/"cache").exists()

def test_a_zip_damaged_inside(tmp_path):
    "One byte of one image is another: nothing is taken for the whole, and nothing is left in the cache folder."
    folder = make_folder(tmp_path/"a")
    for p in folder.rglob("*.JPEG"): p.write_bytes(b"as it was")
    make_zips(folder, tmp_path/"imagenet-20")
    bad = tmp_path/"imagenet-20"/"train-2.zip"
    bad.write_bytes(bad.read_bytes().replace(b"as it was", b"as it saw", 1))
    refused(ValueError, str(bad), "damaged", root=tmp_path)
    assert not [*(tmp_path/"cache"/"biggan_colorize").iterdir()]

@pytest.mark.parametrize("split", SPLITS)
def test_a_missing_class_folder(tmp_path, split):
    folder = make_folder(tmp_path/"imagenet-20")/("train" if split == "train" else "val")
    shutil.rmtree(folder/IMAGENET_20[4])
    refused(FileNotFoundError, str(folder), IMAGENET_20[4], "1 of 20", "unpack", split=split, root=tmp_path)

def test_a_missing_class_of_imagenet(imagenet):
    shutil.rmtree(imagenet/"imagenet"/"val"/IMAGENET_20[7])
    refused(FileNotFoundError, IMAGENET_20[7], "1 of 20", "complete ImageNet", root=imagenet)
    shutil.rmtree(imagenet/"imagenet"/"val")
    refused(FileNotFoundError, "20 of 20", root=imagenet)
    shutil.rmtree(imagenet/"imagenet"/"train"/IMAGENET_20[7])
    refused(FileNotFoundError, IMAGENET_20[7], "1 of 20", split="train", root=imagenet)

def test_imagenet_under_other_names(imagenet):
    first = imagenet/"imagenet"/"train"/IMAGENET_20[0]/f"{IMAGENET_20[0]}_0.JPEG"
    first.rename(first.with_name("0.JPEG"))
    refused(ValueError, "0.JPEG", "1 in all", split="train", root=imagenet)
    first.with_name("0.JPEG").rename(first)
    own = imagenet/"imagenet"/"val"/IMAGENET_20[0]/f"{OFFICIAL}00000001.JPEG"
    own.rename(own.with_name(f"{OFFICIAL}00000001_{IMAGENET_20[0]}.JPEG"))
    refused(ValueError, f"00000001_{IMAGENET_20[0]}", root=imagenet)

def test_too_few_training_images(imagenet):
    for k in range(3): (imagenet/"imagenet"/"train"/IMAGENET_20[2]/f"{IMAGENET_20[2]}_{k}.JPEG").unlink()
    refused(ValueError, "more than 250", "got 250", IMAGENET_20[2], split="train", root=imagenet)
    with pytest.raises(ValueError, match="got 0;"): hold_out([])

@pytest.mark.parametrize("name", [f"{OFFICIAL}00000001.JPEG", f"{OFFICIAL}00050000.JPEG", f"{IMAGENET_20[0]}_4.JPEG"])
def test_a_validation_image_among_the_training_images(tmp_path, name):
    write(make_folder(tmp_path/"imagenet-20")/"train"/IMAGENET_20[0]/name)
    refused(ValueError, name, "1 in all", "unpack", split="train", root=tmp_path)

def test_splits_and_sizes(tmp_path):
    refused(ValueError, "'train' or 'val' or 'official'", "'test'", split="test", root=tmp_path)
    with pytest.raises(ValueError, match="'train' or 'val', got 'official'"):
        find_dataset("imagenet", "official", root=tmp_path)
    make_folder(tmp_path/"imagenet-20")
    with pytest.warns(UserWarning): found = [find_dataset("imagenet-20", root=tmp_path, size=s) for s in (None, 64)]
    assert [d.size for d in found] == [128, 64] and find_dataset("photos").size == 128
