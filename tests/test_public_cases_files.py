"""Files as users have them: tables of spreadsheets, outputs that are whole, saved detectors."""

import pytest

import genzoo
from genzoo.core.files import check_output, replaced_file, replaced_folder


def test_outputs_appear_whole_or_not_at_all(tmp_path):
    file, folder = tmp_path / "new" / "a.txt", tmp_path / "new" / "b"
    for content in ("first", "second"):
        with replaced_file(file) as partial:
            partial.write_text(content)
        with replaced_folder(folder) as partial:
            (partial / content).write_text(content)
    for replaced in (replaced_file, replaced_folder):
        with pytest.raises(RuntimeError), replaced(file if replaced is replaced_file else folder):
            raise RuntimeError
    assert file.read_text() == "second"
    assert [path.name for path in folder.iterdir()] == ["second"]
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == ["a.txt", "b"]
    (tmp_path / "plain").write_text("")
    assert file.stat().st_mode == (tmp_path / "plain").stat().st_mode, "readable as any other"


def test_outputs_are_tried_before_the_work(tmp_path):
    (tmp_path / "taken").write_text("mine")
    long = "x" * 300
    for path in (tmp_path / "taken" / "below", tmp_path / long, tmp_path / long / "below"):
        with pytest.raises(genzoo.GenzooError, match="place to write"):
            check_output(path, overwrite=True)
    with pytest.raises(genzoo.GenzooError, match="Expected a file to replace"):
        check_output(tmp_path, overwrite=True, is_file=True)
    with pytest.raises(genzoo.GenzooError, match="Expected a folder to replace"):
        check_output("/dev/null", overwrite=True)
    assert check_output(tmp_path / "a" / "b", overwrite=False) == tmp_path / "a" / "b"
    assert [path.name for path in tmp_path.iterdir()] == ["taken"]
