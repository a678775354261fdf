"""What users reported about files, names, messages and interruptions (each test is one of their sentences), and the
same kind of thing in other places."""
import importlib.util, io, json, os, random, re, signal, subprocess, sys, time
from pathlib import Path

import numpy as np
import pytest
import skimage.data
from PIL import Image, features
from safetensors.torch import load_file

from test_damaged import damage, formats

PROGRAM = str(Path(sys.executable).parent/"biggan-colorize")
CAT = Image.fromarray(skimage.data.chelsea())
SMALL = CAT.resize((45, 30))
HEIC = b"\0\0\0\x18ftypheic" + bytes(40)  # the head of one
WITHOUT_HEIF = importlib.util.find_spec("pillow_heif") is None

def made(folder): return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())
def said(done): return done.stdout + done.stderr

def fine(done, status=0):
    "The exit status is `status`, and nobody sees a traceback."
    assert done.returncode == status and "Traceback" not in said(done), said(done)
    return said(done)

@pytest.fixture
def colorize(quick, nano):
    "Runs `colorize`, by default with a label, so that no classifier is loaded."
    return lambda *args, label="tabby": quick("biggan-colorize", "colorize", *args, "--model", nano,
                                              *(["--label", label] if label else []))

def run_bytes(*args, shell=None, env=None, stdin=None):
    "Runs the command in a process of its own → (exit status, stdout, stderr) in bytes."
    start = ["bash", "-c", f"set -o pipefail; {shell}", "bash"] if shell else [PROGRAM]
    command = [*start, *map(os.fsencode, args)]
    done = subprocess.run(command, env=os.environ | {"OMP_NUM_THREADS": "1"} | (env or {}), input=stdin,
                          capture_output=True, timeout=300)
    return done.returncode, done.stdout, done.stderr

# R3: files are ignored

MODERN = {"a.avif": "avif", "b.jfif": "jpg", "c.jp2": "jpg_2000", "d.jpe": "jpg", "e.webp": "webp", "f.qoi": None,
          "g.TGA": None}

@pytest.fixture
def mixed(tmp_path):
    "A folder with pictures of less common suffixes, and other files."
    folder = tmp_path/"mixed"
    folder.mkdir()
    there = [name for name, needs in MODERN.items() if not needs or features.check(needs)]
    for name in there: SMALL.save(folder/name, Image.registered_extensions()[Path(name).suffix.lower()])
    (folder/"photo.heic").write_bytes(HEIC)
    (folder/"notes.txt").write_text("x")
    (folder/"film.mpg").write_bytes(b"x")
    return folder, there

def test_my_avif_and_jp2_files_were_ignored(colorize, mixed, tmp_path):
    folder, there = mixed
    shown = fine(colorize(folder, "-o", tmp_path/"out"))
    assert f"{len(there)} of {len(there)} photographs colorized" in shown and len(made(tmp_path/"out")) == len(there)

@pytest.mark.skipif(not WITHOUT_HEIF, reason="pillow-heif is installed")
def test_it_did_not_say_that_files_were_passed_over(colorize, mixed, tmp_path):
    shown = fine(colorize(mixed[0], "-o", tmp_path/"out"))
    for words in ("1 .heic (pip install pillow-heif to read them)", "1 .mpg", "1 .txt"): assert words in shown
    assert "pillow-heif" in fine(colorize(mixed[0]/"photo.heic", "-o", tmp_path/"out"), 1)

def test_filter_and_evaluate_say_and_take_them_too(quick, mixed, tmp_path):
    from biggan_colorize.data import find_dataset
    folder, there = mixed
    shown = fine(quick("biggan-colorize", "filter", "folder", "--data", folder, "-o", tmp_path/"list.csv"))
    assert f"of {len(there)} images" in shown and "Note: passed over" in shown and "1 .txt" in shown
    with pytest.warns(UserWarning, match="passed over"): assert len(find_dataset("folder", root=folder)) == len(there)

def test_heic_is_read_where_pillow_heif_is_installed(nano, tmp_path):
    (tmp_path/"pillow_heif.py").write_text("""
from PIL import Image
def register_heif_opener():
    Image.register_open("HEIF", lambda fp, filename: Image.linear_gradient("L"), lambda head: head[4:12] == b"ftypheic")
    Image.register_extension("HEIF", ".heic")
""")
    (tmp_path/"album").mkdir(); (tmp_path/"album"/"a.HEIC").write_bytes(HEIC)
    code, out, err = run_bytes("colorize", tmp_path/"album", "-o", tmp_path/"out", "--model", nano, "--label", "tabby",
                               env={"PYTHONPATH": os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])})
    assert code == 0 and b"passed over" not in err and made(tmp_path/"out") == ["a.HEIC_tabby_seed0.png"], out + err

def test_every_suffix_that_pil_saves_and_reads_is_found(tmp_path):
    from biggan_colorize.data import find_images, load_image
    for suffix, kind in Image.registered_extensions().items():
        if kind not in Image.SAVE or kind not in Image.OPEN: continue
        try:
            SMALL.convert("1" if kind in ("XBM", "MSP") else "RGB").save(tmp_path/f"x{suffix}", kind)
            load_image(tmp_path/f"x{suffix}")
        except Exception: (tmp_path/f"x{suffix}").unlink(missing_ok=True)
    found, others = find_images(tmp_path)
    assert [p.name for p in found] == made(tmp_path) and not others and len(found) > 25

def test_a_folder_link_was_not_followed(colorize, tmp_path):
    (tmp_path/"album").mkdir(); SMALL.save(tmp_path/"album"/"a.png"); (tmp_path/"more").mkdir()
    (tmp_path/"album"/"link").symlink_to(tmp_path/"more", target_is_directory=True)
    assert "1 link to a folder" in fine(colorize(tmp_path/"album", "-o", tmp_path/"out"))

# R4: names that a terminal cannot show, closed pipes

NAMES = [b"caf\xe9.png", "写真.png".encode(), "🐈 cat.png".encode(), "naïve ’quote’.png".encode(), b"-dash.png",
         b"two\nlines.png"]
ENCODINGS = {"utf-8": {"PYTHONIOENCODING": "utf-8:strict"}, "latin1": {"PYTHONIOENCODING": "latin1"},
             "cp1252": {"PYTHONIOENCODING": "cp1252"},
             "C": {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONIOENCODING": ""}}

@pytest.fixture
def odd(tmp_path):
    "A folder of pictures with odd names; skipped where the file system has no such names."
    folder = tmp_path/"odd"
    folder.mkdir()
    try:
        for name in NAMES: SMALL.save(os.path.join(os.fsencode(folder), name), "PNG")
    except OSError: pytest.skip("the file system takes no such names")
    return folder

@pytest.mark.skipif(os.name == "nt", reason="names are bytes on POSIX alone")
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_a_picture_was_written_but_reported_as_failed(nano, odd, tmp_path, encoding):
    for k, more in enumerate((["--sheet", tmp_path/"sheet.png"], ["--json"])):
        out = tmp_path/f"out{k}"
        code, shown, err = run_bytes("colorize", odd, "-o", out, "--model", nano, "--label", "tabby", *more,
                                     env=ENCODINGS[encoding])
        assert code == 0 and b"Traceback" not in shown + err and len(list(out.iterdir())) == len(NAMES), shown + err
        if not k: assert b"6 of 6 photographs colorized, 6 pictures" in shown and b"Contact sheet" in shown
        else:
            reports = [json.loads(line) for line in shown.splitlines()]
            assert len(reports) == len(NAMES) and not any(r["error"] for r in reports)
            assert {os.path.basename(r["photo"].encode("utf-8", "surrogateescape")) for r in reports} == set(NAMES)
            assert all(os.path.isfile(p["path"].encode("utf-8", "surrogateescape")) for r in reports
                       for p in r["pictures"])

def test_help_fails_in_no_encoding():
    assert all(run_bytes("colorize", "--help", env=e)[0] == 0 for e in ENCODINGS.values())

@pytest.fixture
def album(tmp_path):
    folder = tmp_path/"album"
    folder.mkdir()
    for k in range(12): SMALL.rotate(k).save(folder/f"{k:02}.png")
    return folder

@pytest.mark.skipif(os.name == "nt", reason="needs a POSIX shell")
@pytest.mark.parametrize("shell, status",
                         [("'{}' \"$@\" | head -1", 0), ("'{}' \"$@\" 2>&1 | head -1", 0),
                          ("'{}' \"$@\" --json | true", 0), ("'{}' \"$@\" >&-", 0), ("'{}' \"$@\" 2>&-", 0),
                          ("'{}' \"$@\" >/dev/full", 1), ("'{}' \"$@\" --json >/dev/full", 1)])
def test_head_made_every_photograph_a_broken_pipe(nano, album, tmp_path, shell, status):
    if "full" in shell and not Path("/dev/full").exists(): pytest.skip("there is no /dev/full")
    code, shown, err = run_bytes("colorize", album, "-o", tmp_path/"out", "--model", nano, "--label", "tabby",
                                 shell=shell.format(PROGRAM))
    assert code == status and b"Broken pipe" not in err and b"Traceback" not in err and b"Exception" not in err, err
    assert len(made(tmp_path/"out")) == 12 and (status == 0 or b"lost" in err)

def test_one_seed_fails_and_the_one_before_it_is_still_reported(colorize, monkeypatch, tmp_path):
    from biggan_colorize import photographs
    real = photographs.colorize_as
    def short_of_memory(image, settings, *args):
        if settings.seed == 1: raise MemoryError
        return real(image, settings, *args)
    monkeypatch.setattr(photographs, "colorize_as", short_of_memory)
    SMALL.save(tmp_path/"a.png")
    done = colorize(tmp_path/"a.png", "-o", tmp_path/"out", "--seeds", "0,1,2", "--json")
    report = json.loads(done.stdout)
    assert done.returncode == 1 and "memory" in report["error"] and [p["seed"] for p in report["pictures"]] == [0, 2]

def test_the_explorer_saves_a_photograph_with_a_latin_1_name(tmp_path):
    from biggan_colorize.photographs import Settings, check_recipe, read_recipe, save_result
    content = io.BytesIO()
    SMALL.save(content, "PNG")
    paths = save_result(tmp_path, os.fsdecode(b"caf\xe9"), content.getvalue(), ".png", Settings("mini", "golf ball"))
    recipe = read_recipe(paths[1])
    check_recipe(recipe, paths[2].read_bytes())
    assert recipe.photo == paths[2].name and (tmp_path/recipe.photo).is_file()

def test_a_paused_training_does_not_speak_of_weights(quick, tmp_path):
    shown = fine(quick("biggan-colorize", "train", "nano", "-o", tmp_path/"run", "--minutes", "0.0001"))
    assert "Paused" in shown and "weights" not in shown and re.search(r"checkpoint_\d+\.pt", shown)

# R6, R7: one photograph taken for another

@pytest.mark.skipif(os.name == "nt" or not Path("/dev/fd").exists(), reason="needs process substitution")
def test_another_photograph_through_a_pipe_was_already_there(nano, tmp_path):
    SMALL.save(tmp_path/"a.png"); SMALL.rotate(90).save(tmp_path/"b.png")
    def through(name):
        return run_bytes("colorize", "-o", tmp_path/"out", "--model", nano, "--label", "tabby",
                         shell=f"'{PROGRAM}' \"$@\" <(cat '{tmp_path/name}')")
    assert b"1 pictures" in through("a.png")[1]
    code, out, err = through("b.png")
    assert code == 1 and b"is another picture" in err
    code, out, err = through("a.png")
    assert code == 0 and b"1 were there already" in out

def test_p_jpg_was_never_colorized_and_p_webp_twice(colorize, tmp_path):
    album, out = tmp_path/"album", tmp_path/"out"; album.mkdir()
    SMALL.save(album/"p.webp")
    fine(colorize(album, "-o", out))
    first = made(out)
    SMALL.rotate(9).save(album/"p.jpg")
    assert "2 of 2 photographs colorized, 1 pictures" in fine(colorize(album, "-o", out))
    assert set(first) < set(made(out)) and len(made(out)) == 2
    fine(colorize(album, "-o", tmp_path/"both"))
    assert made(tmp_path/"both") == made(out)
    (album/"p.webp").unlink()
    assert "0 pictures" in fine(colorize(album, "-o", out))

def test_two_folders_with_the_same_names(colorize, tmp_path):
    for k in (0, 1): (tmp_path/f"f{k}").mkdir(); SMALL.rotate(k).save(tmp_path/f"f{k}"/"a.png")
    fine(colorize(tmp_path/"f0", tmp_path/"f1", "-o", tmp_path/"out"))
    assert len(made(tmp_path/"out")) == 2
    assert "2 were there already" in fine(colorize(tmp_path/"f0", tmp_path/"f1", "-o", tmp_path/"out"))

# R9, R10: what a file holds besides

def camera_exif():
    exif = Image.Exif()
    exif[0x0112], exif[271], exif[306], exif[33432] = 6, "Leica", "1931:05:01 12:00:00", "Ada"
    exif[0x8769] = {0x9003: "1931:05:01 12:00:00", 0xA002: 451, 0x8827: 100}
    exif[0x8825] = {1: "N", 2: (48.0, 51.0, 24.0)}
    return exif.tobytes()

@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".tif"])
def test_camera_date_and_resolution_were_gone(colorize, tmp_path, suffix):
    SMALL.save(tmp_path/f"a{suffix}", exif=camera_exif(), dpi=(600, 300))
    fine(colorize(tmp_path/f"a{suffix}", "-o", tmp_path/"out"))
    with Image.open(tmp_path/"out"/f"a{suffix}_tabby_seed0.png") as img:
        exif = img.getexif()
        assert (exif[271], exif[306], exif[33432]) == ("Leica", "1931:05:01 12:00:00", "Ada") and img.size == (30, 45)
        assert (0x0112 not in exif and exif.get_ifd(0x8769)[0x9003].startswith("1931")
                and 0xA002 not in exif.get_ifd(0x8769) and exif.get_ifd(0x8825)[1] == "N")
        # turned with the picture; WebP holds none
        if suffix != ".webp": assert img.info["dpi"] == pytest.approx((300, 600), abs=0.1)

def test_damaged_exif_is_no_reason_to_refuse(colorize, tmp_path):
    SMALL.save(tmp_path/"a.jpg", exif=camera_exif())
    data = (tmp_path/"a.jpg").read_bytes(); at = data.index(b"Exif") + 6
    (tmp_path/"a.jpg").write_bytes(data[:at] + b"XX" + data[at + 2:])
    report = json.loads(colorize(tmp_path/"a.jpg", "-o", tmp_path/"out", "--json").stdout)
    assert not report["error"] and "EXIF data cannot be read" in report["note"] and len(report["pictures"]) == 1

def test_transparency_and_nan_were_not_noted(colorize, tmp_path):
    clear = SMALL.convert("LA")
    clear.putalpha(Image.linear_gradient("L").resize(SMALL.size))
    clear.save(tmp_path/"clear.png")
    SMALL.convert("LA").save(tmp_path/"solid.png")
    values = np.asarray(SMALL.convert("L"), np.float32) / 255; values[0, 0] = np.nan
    Image.fromarray(values).save(tmp_path/"nan.tif")
    done = colorize(*(tmp_path/n for n in ("clear.png", "solid.png", "nan.tif")), "-o", tmp_path/"out", "--json")
    clear, solid, nan = (json.loads(line)["note"] for line in done.stdout.splitlines())
    assert "transparent parts are laid on white" in clear and solid == "" and "NaN" in nan

def test_the_result_of_the_explorer_keeps_them_too(tmp_path):
    from biggan_colorize.photographs import Settings, save_result
    content = io.BytesIO()
    SMALL.save(content, "JPEG", exif=camera_exif(), dpi=(600, 600))
    with Image.open(save_result(tmp_path, "a", content.getvalue(), ".jpg", Settings("mini", "golf ball"))[0]) as img:
        assert img.getexif()[33432] == "Ada" and img.info["dpi"] == pytest.approx((600, 600), abs=0.1)

# R13, R14, R17: messages

def test_an_address_is_refused_in_a_sentence(colorize, tmp_path):
    shown = fine(colorize("https://example.org/cat.jpg", "-o", tmp_path/"out"), 1)
    assert "https://example.org/cat.jpg is an address" in shown and "download it" in shown

def test_a_dash_is_the_standard_input(nano, tmp_path):
    buffer = io.BytesIO()
    SMALL.save(buffer, "JPEG")
    code, out, err = run_bytes("colorize", "-", "-o", tmp_path/"out", "--model", nano, "--label", "tabby",
                               stdin=buffer.getvalue())
    assert code == 0 and made(tmp_path/"out") == ["stdin_tabby_seed0.png"], err
    code, out, err = run_bytes("colorize", "-", "-o", tmp_path/"out", "--model", nano, "--label", "tabby", stdin=b"")
    assert code == 1 and b"The standard input is empty (0 bytes)." in err

def test_names_of_240_bytes(colorize, tmp_path):
    names = ["a" * 236 + ".png", "a" * 235 + "b.png", "ä" * 118 + ".png"]
    for name in names: SMALL.save(tmp_path/name)
    fine(colorize(*(tmp_path/n for n in names), "-o", tmp_path/"out"))
    assert len(made(tmp_path/"out")) == 3 and all(len(os.fsencode(n)) <= 255 for n in made(tmp_path/"out"))
    assert "3 were there already" in fine(colorize(*(tmp_path/n for n in names), "-o", tmp_path/"out"))
    shown = fine(colorize(tmp_path/("b" * 300 + ".png"), tmp_path/names[0], "-o", tmp_path/"out"), 1)
    assert "1 of 2 photographs" in shown and "file name too long" in shown

def test_the_explorer_takes_long_names(tmp_path):
    from biggan_colorize.photographs import Settings, save_result
    content = io.BytesIO()
    SMALL.save(content, "PNG")
    for _ in range(2):
        assert all(p.is_file()
                   for p in save_result(tmp_path, "b" * 250, content.getvalue(), ".png", Settings("mini", "golf ball")))

@pytest.mark.parametrize("command",
                         [["colorize", "a.png"], ["train", "nano"], ["evaluate"], ["filter", "photos"],
                          ["convert", "a.png"]])
def test_the_output_is_a_file_or_lies_below_one(quick, tmp_path, monkeypatch, command):
    monkeypatch.chdir(tmp_path); SMALL.save("a.png"); Path("file").write_text("mine")
    end = {"filter": "/list.csv", "convert": "/w.safetensors"}.get(command[0], "")
    for below in ("file", "file/deeper"):
        shown = fine(quick("biggan-colorize", *command, "-o", below + end), 2)
        assert shown.startswith("Error: The folder") and "file is a file" in shown and shown.count("\n") == 1, shown
    assert Path("file").read_text() == "mine"

def test_a_list_that_is_a_folder(quick, tmp_path):
    assert "got the folder" in fine(quick("biggan-colorize", "filter", "photos", "-o", tmp_path), 2)

def test_train_without_data_suggests_what_the_command_line_can_do(quick, tmp_path):
    shown = fine(quick("biggan-colorize", "train", "mini", "--data", tmp_path, "-o", tmp_path/"run"), 2)
    assert "download=True" not in shown and "--data" in shown and "imagenette2 and imagewoof2" in shown

def test_messages_name_options_and_no_python_arguments(quick, tmp_path):
    SMALL.save(tmp_path/"a.png")
    assert "--data" in fine(quick("biggan-colorize", "filter", "folder", "-o", tmp_path/"l.csv"), 2)
    from biggan_colorize.data import read_filter_list
    with pytest.raises(FileNotFoundError, match="the command filter"): read_filter_list(tmp_path/"none.csv")

def test_there_is_no_version(quick):
    from biggan_colorize import __version__
    assert fine(quick("biggan-colorize", "--version")).strip() == f"biggan-colorize {__version__}"

def help_of(quick, command): return " ".join(fine(quick("biggan-colorize", command, "--help")).split())

def test_choices_are_listed_in_help(quick):
    from biggan_colorize.color import GAMUTS, LIGHTNESSES, VARIANTS
    from biggan_colorize.data import DATASETS
    from biggan_colorize.presets import PRESETS
    from biggan_colorize.upsample import UPSAMPLINGS
    colorize = help_of(quick, "colorize")
    for choices in (LIGHTNESSES, [g for g in GAMUTS if g != "none"], UPSAMPLINGS):
        assert "|".join(choices) in colorize, choices
    for command, known in (("filter", DATASETS), ("evaluate", DATASETS), ("train", PRESETS)):
        words = re.split(r"[^\w-]+", help_of(quick, command).replace("- ", "-").replace("-\n", "-"))
        assert set(known) <= set(words), (command, set(known) - set(words))
    assert "|".join(VARIANTS) in help_of(quick, "filter") and "train|val" in help_of(quick, "filter")

def test_rows_and_parameters_of_evaluate_are_listed(quick, root):
    from biggan_colorize.baselines.mini import MINI_METHODS
    shown, notebook = help_of(quick, "evaluate"), json.loads((root/"nbs/eval.ipynb").read_text(encoding="utf-8"))
    cell = next(c for c in notebook["cells"] if "parameters" in c["metadata"].get("tags", []))
    names = re.findall(r"^(\w+) =", "".join(cell["source"]), re.MULTILINE)
    options = {"dataset", "data", "n_images", "methods", "preset", "out"}
    assert len(names) > 10 and all(re.search(rf"\b{n}\b", shown) for n in set(names) - options), names
    for row in ("gray", "ours:NAME=FILE", "folder:NAME=PATH", *MINI_METHODS): assert row in shown

# R18: nothing to colour

def test_a_single_gray_pixel_became_blue(colorize, tmp_path):
    for name, img in {"pixel": Image.new("L", (1, 1), 128), "wall": Image.new("RGB", (40, 30), (90, 90, 90)),
                      "cat": SMALL}.items():
        img.save(tmp_path/f"{name}.png")
    done = colorize(*(tmp_path/f"{n}.png" for n in ("pixel", "wall", "cat")), "-o", tmp_path/"out", "--json")
    for report, flat in zip(map(json.loads, done.stdout.splitlines()), (True, True, False)):
        assert (np.ptp(np.asarray(Image.open(report["pictures"][0]["path"])).astype(int), axis=2).max() == 0) == flat
        assert ("stays gray" in report["note"]) == flat

# Interruptions

def test_300_files_with_an_interruption_and_a_second_run(colorize, monkeypatch, tmp_path):
    from biggan_colorize import photographs
    album, out, real, calls = tmp_path/"album", tmp_path/"out", photographs.colorize_as, []
    album.mkdir()
    for k in range(300):
        Image.fromarray(np.random.RandomState(k).randint(0, 256, (6, 8), np.uint8)).save(album/f"{k:03}.png")
    def interrupted(*args):
        calls.append(0)
        if len(calls) == 123: raise KeyboardInterrupt
        return real(*args)
    monkeypatch.setattr(photographs, "colorize_as", interrupted)
    done = colorize(album, "-o", out, "--json")
    assert "122 of 300 photographs are done" in fine(done, 130) and "run the same again" in said(done)
    assert len(made(out)) == 122 == len([json.loads(line) for line in done.stdout.splitlines()])
    before = {name: (out/name).read_bytes() for name in made(out)}
    assert "300 of 300 photographs colorized, 178 pictures" in fine(colorize(album, "-o", out))
    assert len(calls) == 123 + 178
    assert all((out/name).read_bytes() == data for name, data in before.items()) and len(made(out)) == 300
    for name in made(out): Image.open(out/name).load()

def test_ctrl_c_is_one_sentence(nano, tmp_path):
    album, out = tmp_path/"album", tmp_path/"out"; album.mkdir()
    for k in range(300): SMALL.rotate(k).resize((450, 300)).save(album/f"{k:03}.png")
    process = subprocess.Popen([PROGRAM, "colorize", album, "-o", out, "--model", nano, "--label", "tabby"],
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
                               # a shell's background job ignores SIGINT, and its children, too
                               preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))
    while process.poll() is None and len(list(out.glob("[0-9]*.png"))) < 3: time.sleep(0.01)
    os.killpg(process.pid, signal.SIGINT)
    shown, err = process.communicate(timeout=120)
    assert process.returncode == 130 and "Traceback" not in err, err
    assert re.search(r"Interrupted\. \d+ of 300 photographs are done", err), err
    assert all(not name.startswith(".") for name in made(out))
    for name in made(out): Image.open(out/name).load()

INTERRUPT = {"filter": ("biggan_colorize.data._score", ["filter", "photos", "-o", "list.csv"],
                        "Nothing was scored|list.csv.partial holds"),
             "convert": ("biggan_colorize.colorizer.Colorizer.from_official",
                         ["convert", "a.ckpt", "-o", "w.safetensors"], "Nothing was converted"),
             "train": ("biggan_colorize.train.Trainer.step", ["train", "nano", "-o", "run"],
                       "There is no checkpoint in run yet"),
             "evaluate": ("papermill.execute_notebook", ["evaluate", "-o", "table"], "No table was written to table")}

@pytest.mark.parametrize("command", INTERRUPT)
def test_ctrl_c_in_every_command(quick, monkeypatch, tmp_path, command):
    monkeypatch.chdir(tmp_path)
    place, args, sentence = INTERRUPT[command]
    def interrupted(*args, **kwargs): raise KeyboardInterrupt
    monkeypatch.setattr(place, interrupted)
    shown = fine(quick("biggan-colorize", *args), 130)
    assert re.search(rf"Interrupted\. ({sentence})", shown), shown
    assert not [p for p in tmp_path.rglob(".*")] and not list(tmp_path.rglob("*.safetensors"))

def test_weights_and_their_json_appear_together(monkeypatch, nano, tmp_path):
    from biggan_colorize.colorizer import Colorizer
    model = Colorizer.from_pretrained(str(nano))
    model.save(tmp_path/"w.safetensors")
    before = {name: (tmp_path/name).read_bytes() for name in made(tmp_path)}
    for p in model.parameters(): p.data += 1
    def interrupted(*args, **kwargs): raise KeyboardInterrupt
    monkeypatch.setattr(Path, "write_text", interrupted)
    with pytest.raises(KeyboardInterrupt): model.save(tmp_path/"w.safetensors", note="new")
    assert {name: (tmp_path/name).read_bytes() for name in made(tmp_path)} == before
    assert load_file(tmp_path/"w.safetensors")

# A thousand damaged files, with all of the above

def test_a_thousand_damaged_files_with_exif_and_odd_names(nano, tmp_path):
    rng, whole, album = random.Random(1), list(formats().items()), tmp_path/"album"
    buffer = io.BytesIO()
    SMALL.save(buffer, "JPEG", exif=camera_exif(), dpi=(600, 600))
    whole += [((".jpg", "EXIF"), buffer.getvalue())] * 5
    album.mkdir()
    for k in range(1000):
        (suffix, _), data = rng.choice(whole)
        name = b"%04d" % k + rng.choice([b"", b"\xe9", "写".encode()]) + suffix.encode()
        with open(os.path.join(os.fsencode(album), name), "wb") as f: f.write(damage(data, rng))
    code, shown, err = run_bytes("colorize", album, "-o", tmp_path/"out", "--model", nano, "--label", "tabby", "--json",
                                 env=ENCODINGS["latin1"])
    assert code == 1 and b"Traceback" not in shown + err, err[-2000:]
    reports = [json.loads(line) for line in shown.splitlines()]
    failed, pictures = [r for r in reports if r["error"]], [p for r in reports for p in r["pictures"]]
    assert len(reports) == 1000 == len(failed) + len(pictures) and len(pictures) == len(made(tmp_path/"out"))
    assert 100 < len(failed) < 900
    for p in pictures: Image.open(p["path"].encode("utf-8", "surrogateescape")).load()
