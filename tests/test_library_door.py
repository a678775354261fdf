"The models from Python: what a picture, a label and a seed may be, and the sentence for what they may not be."
import numpy as np
import pytest
import skimage.data
import torch
from PIL import Image

from biggan_colorize.baselines.mini import load_mini
from biggan_colorize.colorizer import Colorizer

CAT = skimage.data.chelsea()[:60, :90]
COLORIZERS = ("mini", "regression", "deoldify", "cic")

@pytest.fixture(scope="module", params=COLORIZERS)
def model(request): return Colorizer.from_pretrained("mini") if request.param == "mini" else load_mini(request.param)

@pytest.fixture(scope="module")
def mini(): return Colorizer.from_pretrained("mini")

def same(a, b): return a.mode == b.mode == "RGB" and a.size == b.size and a.tobytes() == b.tobytes()

def sideways(path):
    "CAT on its side, with the EXIF orientation that turns it upright again."
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(CAT).transpose(Image.Transpose.ROTATE_90).save(path, exif=exif)
    return path

def test_a_picture_is_a_pil_image_an_array_or_a_path(model, tmp_path):
    path = tmp_path/"cat.png"
    Image.fromarray(CAT).save(path)
    expected = model.colorize(Image.fromarray(CAT), 3)
    for picture in (CAT, CAT / 255, (CAT / 255).astype(np.float32), path, str(path), CAT[:, ::-1][:, ::-1]):
        assert same(model.colorize(picture, 3), expected)
    gray = model.colorize(Image.fromarray(CAT[..., 0]), 3)
    for picture in (CAT[..., 0], CAT[..., 0] / 255): assert same(model.colorize(picture, 3), gray)

def test_a_picture_with_exif_orientation_came_out_sideways(model, tmp_path):
    path = sideways(tmp_path/"cat.png")
    expected = model.colorize(Image.fromarray(CAT), 3)
    with Image.open(path) as img: assert img.size == (60, 90) and same(model.colorize(img, 3), expected)
    assert same(model.colorize(path, 3), expected) and expected.size == (90, 60)

def test_a_decoded_picture_is_not_turned_twice(mini, tmp_path):
    from biggan_colorize.data import load_image
    for suffix in (".png", ".jpg", ".tif"):
        path = sideways(tmp_path/f"cat{suffix}")
        assert mini.colorize(load_image(path), 3).size == (90, 60) == mini.colorize(path, 3).size

BAD = {"NaN": np.where(np.arange(60)[:, None, None] == 3, np.nan, CAT / 255), "8-bit values": CAT.astype(float),
       "got -0.9": CAT / 255 - 1, "empty": CAT[:0], "int64": CAT.astype(int), "bool": CAT > 3,
       "(60, 90, 4)": np.concatenate([CAT, CAT[..., :1]], 2), "(60, 90, 1)": CAT[..., :1], "(90,)": CAT[0, :, 0],
       "Tensor": torch.zeros(3, 4, 4), "NoneType": None, "list": [[0]], "bytes": b"x",
       "0 × 0": Image.new("L", (0, 0)), "no image at": "nowhere.png", "an address": "https://example.org/cat.png"}

@pytest.mark.parametrize("says", BAD)
def test_what_is_no_picture_is_refused_in_a_sentence(model, says):
    with pytest.raises((ValueError, FileNotFoundError)) as e: model.colorize(BAD[says], 3)
    assert says in str(e.value) and "\n" not in str(e.value) and str(e.value).endswith(".")

@pytest.mark.parametrize("seed", [1.5, "1", None, True, np.float64(1), [0, 1]])
def test_a_seed_is_a_whole_number(model, seed):
    with pytest.raises(ValueError, match="whole number"): model.colorize(CAT, 3, seed=seed)

def test_seeds_of_numpy_are_whole_numbers(mini):
    assert same(mini.colorize(CAT, 3, seed=np.int64(7)), mini.colorize(CAT, 3, seed=7))

def test_a_label_is_an_index_a_name_an_id_weights_or_none(mini):
    k = mini.classes.index("n03445777")
    expected = mini.colorize(CAT, k)
    assert all(same(mini.colorize(CAT, label), expected)
               for label in ("golf ball", "n03445777", "Golf ball", str(k), np.int64(k), torch.tensor(k), [k]))
    one = torch.zeros(len(mini.classes))
    one[k] = 1
    weighted = mini.colorize(CAT, one)
    assert all(same(mini.colorize(CAT, label), weighted)
               for label in (one.tolist(), {"golf ball": 1.0}, {"n03445777": 1}))
    assert not same(mini.colorize(CAT, None), expected)

def test_baselines_take_names_too():
    model = load_mini("tovivid")
    k = model.classes.index("n03445777")
    golf = model.colorize(CAT, "golf ball")
    assert same(golf, model.colorize(CAT, k)) and not same(golf, model.colorize(CAT, "church"))

@pytest.mark.parametrize("label, says",
                         [("golf bal", "golf ball"), (20, "0 to 19"), (-1, "0 to 19"), (1.5, "not 1.5"),
                          (True, "not True"), ({"golf bal": 1}, "golf ball"), ({"golf ball": -1}, "from 0"),
                          ({}, "not all of them 0"), ({"golf ball": float("nan")}, "numbers from 0"),
                          ([.5, .5], "20 numbers"), ([float("nan")] * 20, "NaN"), ([1, 2], "(2,)"),
                          (object, "0 to 19")])
def test_what_is_no_label_is_refused_in_a_sentence(mini, label, says):
    with pytest.raises(ValueError) as e: mini.colorize(CAT, label)
    assert says in str(e.value) and "\n" not in str(e.value)

def test_a_model_whose_classes_have_no_names():
    from biggan_colorize.colorizer import ColorizerConfig
    cfg = ColorizerConfig(resolution=32, feature_resolution=8, ch=2, encoder_ch=2, dim_z=8, shared_dim=4, n_classes=3,
                          attention=16)
    model = Colorizer(cfg).eval()
    assert model.colorize(CAT, 2).size == (90, 60)
    for label in ("tabby", {"tabby": 1}):
        with pytest.raises(ValueError, match="no names"): model.colorize(CAT, label)

# the same manners elsewhere

def test_batches_and_z_refuse_seeds_that_are_cut(mini):
    from biggan_colorize.colorizer import draw_z
    with pytest.raises(ValueError, match="whole number"): draw_z([1.5], 4)
    with pytest.raises(ValueError, match="whole number"): mini.colorize_batch(torch.zeros(2, 1, 128, 128), 3, seed=1.5)
    with pytest.raises(ValueError, match="one for each of 2"):
        mini.colorize_batch(torch.zeros(2, 1, 128, 128), 3, seed=[1, 2, 3])
    with pytest.raises(ValueError, match="not 'tabby'"): mini.colorize_batch(torch.zeros(2, 1, 128, 128), "tabby")

def test_the_explorer_and_the_classifier_take_them_too(mini, tmp_path):
    from biggan_colorize.explore import explore, reduce
    from biggan_colorize.photographs import Settings, class_probabilities, colorize_as
    path = sideways(tmp_path/"cat.png")
    images, _ = explore(path, label="golf ball")
    assert images["result"].size == (90, 60) and same(images["result"], explore(CAT, label="golf ball")[0]["result"])
    assert torch.equal(class_probabilities(path, mini.classes), class_probabilities(CAT, mini.classes))
    assert same(colorize_as(path, Settings("mini", "golf ball")), colorize_as(CAT, Settings("mini", "golf ball")))
    deep = Image.fromarray(np.full((4, 4), 32896, np.uint16))
    assert reduce(deep).getpixel((0, 0)) == (128, 128, 128)          # 16 bits were clipped to white
    for bad in (Image.new("L", (0, 0)), CAT.astype(float)):
        with pytest.raises(ValueError): explore(bad)

def test_the_explorer_widget_opens_arrays_and_turned_images(tmp_path):
    from biggan_colorize.explore import Explorer
    with Image.open(sideways(tmp_path/"cat.png")) as img: assert Explorer(img).photo.size == (90, 60)
    assert Explorer(CAT).photo.tobytes() == CAT.tobytes()

def test_a_photograph_that_shows_nothing_stays_gray(mini):
    from biggan_colorize.explore import explore
    for flat in (np.full((1, 1), 128, np.uint8), np.full((30, 40), 77, np.uint8), np.full((30, 40, 3), 0.5)):
        assert np.ptp(np.asarray(mini.colorize(flat, "golf ball")).astype(int), axis=2).max() == 0
    result = explore(np.full((30, 40), 77, np.uint8), label="golf ball")[0]["result"]
    assert np.ptp(np.asarray(result).astype(int), axis=2).max() == 0
