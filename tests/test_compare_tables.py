"The comparison of tables that .ci/run relies on must be able to fail."
import copy, json, subprocess, sys

import pytest
from compare_tables import differences

RECORDED = {"provenance": dict(dataset="imagenet-20", images=1000, weights="abc"), "rows": [
    dict(method="gray", n=1000, frechet=51.7, colorfulness=0.02, psnr=24., seconds_per_image=None, notes=[]),
    dict(method="Ours", n=1000, frechet=20., colorfulness=39., psnr=23., seconds_per_image=.01, published_fid=1.3,
         notes=[]),
    dict(method="CIC", n=None, frechet=None, published_fid=11.32, notes=["not measured"])]}

def changed(row, **values):
    table = copy.deepcopy(RECORDED)
    table["rows"][row].update(values)
    return table

def test_equal_and_nearly_equal_tables_agree():
    assert not differences(RECORDED, RECORDED)
    assert not differences(changed(1, frechet=20.3, seconds_per_image=9.), RECORDED)
    assert not differences(changed(0, colorfulness=0.05), RECORDED)

@pytest.mark.parametrize("row, values", [
    (1, dict(frechet=20.5)), (1, dict(frechet=None)), (1, dict(frechet=float("nan"))), (1, dict(n=999)),
    (0, dict(colorfulness=.2)), (2, dict(published_fid=11.)), (1, dict(method="Theirs"))])
def test_a_changed_or_missing_number_is_found(row, values): assert differences(changed(row, **values), RECORDED)

def test_a_missing_row_other_weights_and_an_empty_record_are_found():
    fewer = copy.deepcopy(RECORDED)
    del fewer["rows"][1]
    assert len(differences(fewer, RECORDED)) == 5
    others = RECORDED | {"provenance": RECORDED["provenance"] | {"weights": "def"}}
    assert differences(others, RECORDED) == ["weights: 'def', recorded 'abc'"]
    assert "no row was recorded" in differences(RECORDED, RECORDED | {"rows": RECORDED["rows"][2:]})

def test_exit_status(root, tmp_path):
    for name, table in dict(a=RECORDED, b=changed(1, psnr=20.)).items():
        (tmp_path/f"{name}.json").write_text(json.dumps(table))
    def status(*names):
        return subprocess.run([sys.executable, root/"tests"/"compare_tables.py", *(tmp_path/n for n in names)],
                              capture_output=True).returncode
    assert (status("a.json", "a.json"), status("b.json", "a.json"), status("a.json", "none.json")) == (0, 1, 1)
