"""What the build notes show a developer runs as it stands there."""

import importlib
import json
import pathlib
import re

from reproductions.bench import runs

NOTES = (pathlib.Path(__file__).parent.parent / "BUILD_NOTES.md").read_text()


def test_they_are_short():
    assert len(NOTES.splitlines()) <= 250


def test_the_figure_that_they_show_is_a_whole_one(tmp_path, monkeypatch, capsys):
    (code,) = re.findall(r"```python\n(.*?)```", NOTES, re.DOTALL)
    assert f"of {len(code.splitlines())} lines" in NOTES
    (tmp_path / "sharpness.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    figure = importlib.import_module("sharpness")
    assert runs.run(figure, ["--preset=smoke", f"--out_dir={tmp_path / 'runs'}"]) == 0
    folder = pathlib.Path(capsys.readouterr().out.splitlines()[-1])
    left = {p.name for p in folder.iterdir()}
    numbers = {"config.json", "results.npz", "check.json"}
    assert left == numbers | {"figure.png", "series", "claims.tex"}
    (claim,) = json.loads((folder / "check.json").read_text())["claims"]
    assert claim["id"] == "sharpness.flatter" and claim["measured"] > 0
