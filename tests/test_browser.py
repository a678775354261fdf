"""The explorer as a person meets it: JupyterLab in a real browser opens the start notebook, runs it, and every knob is
turned. Skipped where there is no Playwright or no Chromium. The screenshots lie in runs/browser afterwards."""
import json, os, shutil, socket, subprocess, sys, time, urllib.request
from pathlib import Path

import numpy as np
import pytest
import skimage.data
from PIL import Image

sync_api = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed (pip install playwright)")
CHROMIUM = (os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
            or shutil.which("google-chrome"))
if not CHROMIUM:
    pytest.skip("no Chromium was found (apt-get install chromium, or name it in CHROMIUM)", allow_module_level=True)

ROOT = Path(__file__).resolve().parent.parent
SHOTS = ROOT/"runs"/"browser"
PATIENCE = 240_000  # milliseconds until a step counts as hung; nothing waits for it otherwise

def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]

@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    "JupyterLab on a copy of the start notebook, with nothing of the caller's settings; yields its folder and address."
    home = tmp_path_factory.mktemp("lab")
    work = home/"work"
    work.mkdir()
    shutil.copy(ROOT/"nbs"/"start.ipynb", work)
    quiet = home/"settings"/"@jupyterlab"/"apputils-extension"
    quiet.mkdir(parents=True)
    (quiet/"notification.jupyterlab-settings").write_text(json.dumps({"fetchNews": "false", "checkForUpdates": False}))
    port, token = free_port(), "t" * 20
    env = os.environ | {"JUPYTERLAB_SETTINGS_DIR": str(home/"settings"),
                        "JUPYTERLAB_WORKSPACES_DIR": str(home/"workspaces"), "JUPYTER_CONFIG_DIR": str(home/"config"),
                        "JUPYTER_RUNTIME_DIR": str(home/"runtime"),
                        "IPYTHONDIR": str(home/"ipython"), "OMP_NUM_THREADS": "1",
                        "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
    with open(home/"lab.log", "w") as log:
        server = subprocess.Popen([sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", f"--port={port}",
                                   "--ServerApp.port_retries=0", f"--IdentityProvider.token={token}",
                                   f"--ServerApp.root_dir={work}",
                                   "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate"], stdout=log,
                                   stderr=log, env=env, cwd=work)
    address = f"http://127.0.0.1:{port}"
    try:
        while True:
            assert server.poll() is None, (home/"lab.log").read_text()[-3000:]
            try:
                urllib.request.urlopen(f"{address}/api/status?token={token}", timeout=5)
                break
            except OSError: time.sleep(0.3)
        yield work, f"{address}/lab/tree/start.ipynb?token={token}"
    finally:
        server.terminate()
        server.wait()

@pytest.fixture
def page(lab):
    "The start notebook after all its cells have run; what went wrong in the page is collected in `page.errors`."
    SHOTS.mkdir(parents=True, exist_ok=True)
    with sync_api.sync_playwright() as p:
        browser = p.chromium.launch(executable_path=CHROMIUM,
                                    args=["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"])
        page = browser.new_page(viewport={"width": 1500, "height": 1300})
        page.set_default_timeout(PATIENCE)
        page.errors = []
        page.on("console", lambda m: page.errors.append(m.text) if m.type == "error" else None)
        page.on("pageerror", lambda e: page.errors.append(str(e)))
        page.goto(lab[1])
        page.locator(".jp-Notebook .jp-Cell").first.wait_for()
        page.get_by_text("| Idle").wait_for()
        page.get_by_role("menuitem", name="Run", exact=True).click()
        page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
        try:
            page.locator("img[data-picture=result]").first.wait_for()
            page.locator(".biggan-ready").wait_for()
            yield page
        finally:
            page.screenshot(path=SHOTS/"last.png")  # where it stopped, when a test failed
            browser.close()

def picture(page, name="result"): return page.locator(f"img[data-picture='{name}']").last.get_attribute("src")

def status(page): return page.locator(".jp-OutputArea [role=status], .jp-OutputArea [role=alert]").last.inner_text()

class changes:
    "Waits at the end until the result's picture is another one than at the beginning."
    def __init__(self, page): self.page = page
    def __enter__(self): self.before = picture(self.page)
    def __exit__(self, *error):
        if error[0]: return
        self.page.wait_for_function("before => { const all = "
                                    "document.querySelectorAll(\"img[data-picture='result']\"); return all.length && "
                                    "all[all.length - 1].src !== before }", arg=self.before)

def upload(page, path):
    with page.expect_file_chooser() as chooser: page.get_by_role("button", name="Upload a photograph").click()
    chooser.value.set_files(path)

def wait_for_status(page, text):
    page.wait_for_function("text => [...document.querySelectorAll('[role=status], [role=alert]')].some(e => "
                           "e.innerText.includes(text))", arg=text)

def seen(page, name):
    "A picture of the page as an array, decoded."
    import base64, io
    data = base64.b64decode(picture(page, name).split(",")[1])
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB")).astype(int)

def test_a_person_turns_every_knob(page, lab, tmp_path):
    work, _ = lab
    page.locator("img[data-picture=result]").first.scroll_into_view_if_needed()
    page.screenshot(path=SHOTS/"1_started.png")
    Image.fromarray(skimage.data.coffee()).convert("L").save(tmp_path/"my coffee.jpg")
    with changes(page): upload(page, tmp_path/"my coffee.jpg")
    wait_for_status(page, "my coffee.jpg, 600 × 400")
    assert page.locator("img[data-picture='original']").count() == 0          # a gray photograph has no reference
    page.screenshot(path=SHOTS/"2_uploaded.png")

    gray = picture(page, "gray")
    with changes(page): page.get_by_role("button", name="8", exact=True).click()
    raw = picture(page, "raw output")
    with changes(page):
        page.get_by_label("Class", exact=True).focus()
        page.keyboard.press("ArrowDown")
    assert picture(page, "raw output") != raw
    with changes(page):
        seed = page.get_by_label("Seed of z")
        seed.fill("5")
        seed.press("Enter")
    # what was put in is the same through all of it
    assert picture(page, "gray") == gray
    result, before = seen(page, "result"), seen(page, "gray")
    assert np.abs(result.mean(2) - before.mean(2)).mean() < 12 and np.ptp(result, axis=2).mean() > 1
    page.screenshot(path=SHOTS/"3_knobs.png")

    page.get_by_role("button", name="Keep to compare").click()
    page.locator("img[data-picture='difference from the kept']").wait_for()
    with changes(page): page.get_by_role("button", name="32", exact=True).click()
    page.get_by_role("button", name="Grid: z × class").click()
    page.locator("img[data-picture=grid]").wait_for()
    page.screenshot(path=SHOTS/"4_compared.png")
    page.locator("img[data-picture=grid]").scroll_into_view_if_needed()
    page.screenshot(path=SHOTS/"5_grid.png")

    page.get_by_role("button", name="Save", exact=True).last.click()
    wait_for_status(page, "Saved explored/my coffee.png")
    recipe = json.loads((work/"explored"/"my coffee.json").read_text())
    assert (recipe["model"], recipe["seed"]) == ("mini-32", 5)
    assert Image.open(work/"explored"/"my coffee.png").size == (600, 400)
    assert not page.errors, page.errors

def test_bad_and_large_uploads_are_answered_in_words(page, tmp_path):
    before = picture(page)
    (tmp_path/"letter.jpg").write_text("Dear diary")
    upload(page, tmp_path/"letter.jpg")
    wait_for_status(page, "letter.jpg is not an image")
    assert picture(page) == before
    page.screenshot(path=SHOTS/"6_bad_upload.png")
    noise = np.random.default_rng(0).integers(0, 256, (2600, 4000, 3), np.uint8)
    # 31 MB: more than a message to the kernel may have
    Image.fromarray(noise).save(tmp_path/"large.bmp")
    upload(page, tmp_path/"large.bmp")
    wait_for_status(page, "large.bmp has 30 MiB")
    assert picture(page) == before
    page.screenshot(path=SHOTS/"7_large_upload.png")
    path = page.get_by_label("or its path")
    path.fill(str(tmp_path/"large.bmp"))
    with changes(page): path.press("Enter")
    wait_for_status(page, "large.bmp, 4000 × 2600")
    Image.fromarray(noise[:700]).save(tmp_path/"fits.bmp")                     # 8.4 MB
    with changes(page): upload(page, tmp_path/"fits.bmp")
    wait_for_status(page, "fits.bmp, 4000 × 700")
    with changes(page): page.get_by_role("button", name="z", exact=True).click()   # it still answers
    assert not page.errors, page.errors

def test_keyboard_alone(page):
    "From the list of samples on, Tab reaches every control, and keys move them."
    page.get_by_label("Sample").focus()
    with changes(page): page.keyboard.press("ArrowDown")
    reached = []
    for _ in range(24):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("() => { const e = document.activeElement; return e.labels?.[0]?.innerText || "
                                     "(e.tagName == 'BUTTON' ? e.innerText : e.getAttribute('role') || e.tagName) }"))
        if reached[-1] == "Class": break
    text = "\n".join(reached)
    for name in ("Upload", "its path", "32", "Seed of z", "slider", "L put back", "Out of gamut", "Search", "Class"):
        assert name in text, (name, text)
    with changes(page): page.keyboard.press("ArrowDown")                       # the class
    button = page.get_by_role("button", name="z", exact=True)
    button.focus()
    with changes(page): page.keyboard.press("Enter")
    assert not page.errors, page.errors
