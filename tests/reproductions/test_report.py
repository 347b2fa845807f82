"""The page of all figures: what it says of real runs and of made-up ones, and how a browser shows it."""

import base64
import html.parser
import json
import os
import re
import shutil
import subprocess
import urllib.parse

import numpy as np
import pytest
from PIL import Image

from reproductions import report
from reproductions.bench import catalogue, options, store, wording
from reproductions.bench import claims as bench_claims
from reproductions.bench.errors import UsageError

SMALL = ("fig1_wedges", "toy_cut", "toy_probe", "fig6_swa")


@pytest.fixture(autouse=True)
def _few_figures(monkeypatch):
    monkeypatch.setattr(catalogue, "FIGURES", SMALL)


@pytest.fixture(scope="module")
def real(smoke, tmp_path_factory):
    """An out_dir with two runs as their programs leave them, with a note."""
    out = tmp_path_factory.mktemp("runs")
    for name in ("fig1_wedges", "toy_probe"):
        run = smoke(name)
        folder = shutil.copytree(run.directory, out / run.directory.relative_to(run.out_dir))
        about = json.loads((folder / "config.json").read_text())
        about["provenance"]["note"] = "made by a <b>test</b>"
        (folder / "config.json").write_text(json.dumps(about))
    return out


def make(out, figure="toy_probe", name="smoke-1", dataset=None, settings=(), note=None, **provenance):
    """A made-up finished run, by default of the preset's own settings. Returns its folder."""
    folder = out / figure / name
    folder.mkdir(parents=True)
    config = {**options.preset(catalogue.module(figure).Config, "smoke"), **dict(settings)}
    if dataset:
        config["dataset"] = dataset
    about = {
        "command": f"python -m reproductions.{figure} --preset=smoke",
        "date": "2026-01-02",
        "machine": "a machine, 2 cores",
        "software": {"python": "3.11", "code": "0123"},
        "note": note,
        "seconds": 150.0,
        **provenance,
    }
    record = {"figure": figure, "config": config, "preset": "smoke", "provenance": about}
    (folder / "config.json").write_text(json.dumps(record))
    write_claims(folder, [claim()])
    Image.new("RGB", (30, 20), "teal").save(folder / "figure.png")
    store.save(
        folder / "results.npz", {"x": np.linspace(0, 1, 500)}, {"figure": figure, "config": config}
    )
    return folder


def claim(**changes):
    one = {"id": "toy.probe.x", "statement": "a number", "source": "someone", "measured": 0.25}
    return {**one, "expected": 0.5, "relation": "<=", "passed": True, **changes}


def write_claims(folder, claims, **more):
    (folder / "check.json").write_text(json.dumps({"claims": claims, **more}))


def page_of(out, **settings):
    return report.write(report.find(out, "smoke"), **settings).read_text()


class Page(html.parser.HTMLParser):
    """What a browser would make of it: text, what it loads, links, kinds of elements, alt texts."""

    SPACED = ("br", "td", "th", "dt", "dd", "p")

    def __init__(self, text):
        super().__init__()
        self.text, self.used, self.links, self.kinds, self.alt = "", [], [], set(), []
        self.feed(text)
        self.text = " ".join(self.text.split())

    def handle_starttag(self, tag, attributes):
        self.kinds.add(tag)
        self.text += " " * (tag in self.SPACED)
        self.used += [v for k, v in attributes if k in ("src", "srcset", "action", "data")]
        self.links += [v for k, v in attributes if k == "href"]
        self.alt += [v for k, v in attributes if k == "alt"]

    def handle_data(self, data):
        self.text += data


def test_what_was_found_stands_in_the_section_of_its_figure(tmp_path, monkeypatch):
    monkeypatch.setattr(bench_claims, "REFERENCE", tmp_path)
    (tmp_path / "toy_probe.md").write_text(
        "# A *round* well\n\n## What holds\n\n- 12 of 12, `s / D` <b>bold</b>\n\n"
        "| s | scatter |\n|---|---|\n| 20 | 0.31 |\n\n"
        "## Every claim\n\n| of | now |\n|---|---|\n| a | 7 |\n\n"
        "## Sources\n\nOf arXiv:1906.04724.\n"
    )
    told = wording.findings("toy_probe")
    assert "<h3>A <em>round</em> well</h3>" in told and "<h4>What holds</h4>" in told
    assert "<code>s / D</code> &lt;b&gt;bold&lt;/b&gt;" in told and "<td>0.31</td>" in told
    assert '<div class="wide" tabindex="0"><table>' in told
    assert 'Of <a href="https://arxiv.org/abs/1906.04724">arXiv:1906.04724</a>.' in told
    assert "Every claim" not in told and "<td>7</td>" not in told  # the report's own table has them
    assert wording.findings("toy_cut") is None
    out = tmp_path / "runs"
    make(out)
    page = report.write(report.find(out, "smoke")).read_text()
    assert page.count("What was found in the reference run") == 1 and told in page


def test_every_figure_has_written_down_what_it_found():
    for figure in catalogue._found():
        assert "<h3>" in wording.findings(figure)


# ---- what it says -----------------------------------------------------------------------------------


def test_every_run_is_there_with_its_claims_picture_settings_and_command(real, capsys):
    assert report.run([f"--out_dir={real}", "--preset=smoke"]) == 0
    printed = capsys.readouterr()
    assert printed.out == f"{real / 'report-smoke.html'}\n" and printed.err == ""
    source = (real / "report-smoke.html").read_text()
    page = Page(source)
    held = total = 0
    for figure in ("fig1_wedges", "toy_probe"):
        folder = next((real / figure).glob("smoke-*"))
        picture = base64.b64encode((folder / "figure.png").read_bytes()).decode()
        assert f"data:image/png;base64,{picture}" in page.used
        assert f"#{figure}.{folder.name}" in page.links and f'id="{figure}.{folder.name}"' in source
        check = json.loads((folder / "check.json").read_text())
        for c in check["claims"]:
            assert all(c[k] in page.text for k in ("id", "statement", "source", "says", "threshold"))
        held, total = held + sum(c["passed"] for c in check["claims"]), total + len(check["claims"])
        same = check["reference"]["numbers"]
        assert f"checked the code: {same} of {same} numbers as on the reference machine" in page.text
        assert f"python -m reproductions.{figure} --preset=smoke --out_dir={real}" in page.text
        assert catalogue.title(figure) in page.text
    small = total - held
    assert "32 of 32 numbers are as on the reference machine" in page.text
    counted = f"{small} too small to judge (at the paper preset {small} hold)"
    assert f"{held} of {total} claims hold; {counted} in 2 runs of the preset smoke" in page.text
    assert "✓ reproduced · 3 of 3 hold" in page.text and "· too small to judge · " in page.text
    assert page.text.count("too small to judge; at the paper preset: holds") == small > 0
    assert page.text.count("✓ holds") == held and "FAILS" not in page.text
    assert "level 0.1 grid 31" in page.text and "made by a <b>test</b>" in page.text


def test_it_needs_nothing_else_and_runs_nothing(real):
    source = page_of(real)
    page = Page(source)
    assert len(page.used) == 4 and all(used.startswith("data:image/") for used in page.used)
    kinds = {"script", "link", "iframe", "object", "embed", "base", "form", "b>test<"}
    assert not page.kinds & kinds
    assert "url(" not in source and "@import" not in source
    assert "default-src 'none'; img-src data:; style-src 'unsafe-inline'" in source
    pictures = [alt for alt in page.alt if alt]  # a thumbnail says nothing beside its title
    assert len(pictures) == 2 and all(len(alt) > 20 for alt in pictures)


@pytest.mark.parametrize("place", ["page.html", "elsewhere/page of mine.html"])
def test_links_lead_to_the_papers_the_program_the_pictures_and_the_data(real, tmp_path, place):
    path = tmp_path / place
    page = Page(page_of(real, output=path))
    outside = {link for link in page.links if ":" in link}
    assert "https://arxiv.org/abs/1906.04724" in outside
    assert all(re.fullmatch(r"https://arxiv\.org/abs/\d{4}\.\d{5}", link) for link in outside)
    files = [link for link in page.links if ":" not in link and not link.startswith("#")]
    found = [(path.parent / urllib.parse.unquote(link)).resolve() for link in files]
    assert all(f.is_file() for f in found)
    folder = next((real / "fig1_wedges").glob("smoke-*")).resolve()
    left = {f.name for f in found if f.parent == folder}
    assert left >= {"figure.png", "figure.html", "results.npz", "check.json", "config.json"}
    assert {"fig1_wedges.py", "toy_probe.py"} <= {f.name for f in found}


def test_a_file_that_a_later_version_leaves_is_linked_and_its_picture_shown(tmp_path):
    folder = make(tmp_path)
    (folder / "series").mkdir(exist_ok=True)
    (folder / "series" / "by_seed.csv").write_text("x,y\n")
    (folder / "figure.pdf").write_bytes(b"%PDF")
    Image.new("RGB", (40, 20), "red").save(folder / "more.png")
    page = Page(page_of(tmp_path))
    names = [urllib.parse.unquote(link).rpartition("/")[2] for link in page.links]
    order = ["figure.png", "more.png", "figure.pdf", "by_seed.csv", "results.npz", "check.json"]
    assert [n for n in names if n in order] == order
    assert [alt.partition("?")[2] for alt in page.alt if alt] == [
        ". The numbers are in the table below.",
        ": more. The numbers are in the table below.",
    ]


def test_figures_without_a_run_are_listed_with_the_command_that_makes_one(real):
    page = Page(page_of(real))
    for figure in ("toy_cut", "fig6_swa"):
        command = f"python -m reproductions.{figure} --preset=smoke --out_dir={real}"
        assert re.search(
            f"{re.escape(catalogue.title(figure))} +{re.escape(command)} – not run", page.text
        )


def test_what_failed_just_now_is_said_also_beside_an_earlier_run(real):
    page = Page(page_of(real, failed={"toy_cut": "no <room>", "toy_probe": "ended"}))
    assert re.search(r"no <room> +python -m reproductions\.toy_cut \S+ \S+ ! failed to run", page.text)
    assert re.search("ended +python -m reproductions.toy_probe", page.text)
    assert "toy.probe.round" in page.text


def test_nothing_in_a_run_becomes_markup(tmp_path):
    bad = "<script>alert(1)</script><img src=x onerror=y> \"'&amp; `a<b>` {{ 7 * 7 }}"
    folder = make(tmp_path, note=bad, machine=bad, command=bad, software={bad: bad})
    write_claims(folder, [claim(id=bad, statement=bad, source=bad)])
    config = json.loads((folder / "config.json").read_text())
    config["config"][bad] = [bad]
    (folder / "config.json").write_text(json.dumps(config))
    page = Page(page_of(tmp_path))
    assert page.kinds.isdisjoint({"script"}) and len(page.used) == 2
    assert page.text.count(bad) >= 8 and "x" not in page.used + page.links


def test_a_number_that_there_is_not_is_no_verdict_on_the_paper(tmp_path):
    folder = make(tmp_path)
    none = [claim(measured=None, passed=False), claim(measured=float("nan"), passed=False)]
    write_claims(folder, [*none, claim(passed=False)])
    text = Page(page_of(tmp_path)).text
    told = "not measurable in this preset; at the paper preset: not claimed"
    assert text.count(told) == 2 and "FAILS" not in text
    assert text.count("no number ≤ 0.5") == 2 and "nan" not in text
    assert "0 of 3 claims hold; 1 too small to judge, 2 not measurable" in text


def test_a_run_that_claims_nothing_is_not_reproduced(tmp_path):
    write_claims(make(tmp_path), [])
    text = Page(page_of(tmp_path)).text
    assert "– nothing claimed" in text and "✓" not in text


@pytest.mark.parametrize(
    ("figure", "passed", "state", "widths"),
    [
        ("fig1_wedges", (True, True), "✓ reproduced", [("holds", "100.00")]),
        ("fig1_wedges", (True, False), "◐ in part", [("holds", "50.00"), ("fails", "50.00")]),
        ("fig1_wedges", (False, False), "✗ not reproduced", [("fails", "100.00")]),
        ("toy_probe", (True, True), "✓ holds at this size", [("holds", "100.00")]),
        ("toy_probe", (True, False), "· too small to judge", [("holds", "50.00"), ("too", "50.00")]),
    ],
)
def test_the_state_and_its_bar_go_by_what_the_preset_can_judge(tmp_path, figure, passed, state, widths):
    """Figure 1's smoke preset is large enough for its claims; that of toy_probe is not."""
    write_claims(make(tmp_path, figure), [claim(passed=p) for p in passed])
    source = page_of(tmp_path)
    assert state in Page(source).text
    bars = re.findall(r'<span class="(\w+)" style="width: ([0-9.]+)%">', source)
    assert bars == 2 * widths  # in the list and in the section


def test_it_says_how_long_all_took_when_and_from_which_commit(tmp_path):
    make(tmp_path, commit="0123456789+", time="12:34 UTC", seconds=60.0)
    make(tmp_path, "fig1_wedges", seconds=120.0)
    text = Page(page_of(tmp_path)).text
    assert "3.0 min of measuring in all" in text
    assert "date 2026-01-02, 12:34 UTC" in text and "commit 0123456789+" in text


def test_what_differs_from_the_reference_is_told(tmp_path):
    compared = {"numbers": 30, "agree": 29, "differs": ["scatter: 1.0, reference 2.0 +- 0.1"]}
    write_claims(make(tmp_path), [claim()], reference=compared)
    text = Page(page_of(tmp_path)).text
    assert "29 of 30 numbers as on the reference machine" in text
    assert "scatter: 1.0, reference 2.0 +- 0.1" in text
    write_claims(make(tmp_path, name="smoke-2", date="2027-01-01"), [claim()])
    assert "no reference numbers for these settings" in Page(page_of(tmp_path)).text


def test_papers_are_linked_by_their_numbers():
    text = "A & B 2019, arXiv:1906.04724, Fig. 2; arXiv:2107.11228v2 <b>"
    assert wording.papers(text + text) == ["1906.04724", "2107.11228v2"]
    html = str(wording.linked(text))
    assert '<a href="https://arxiv.org/abs/1906.04724">arXiv:1906.04724</a>, Fig. 2' in html
    assert "A &amp; B" in html and "&lt;b&gt;" in html and html.count("<a ") == 2


@pytest.mark.parametrize(
    ("value", "words"),
    [(0.12345, "0.1235"), (0, "0"), (-3.0, "-3"), (12345.6, "12,346"), (1e-9, "1e-09"), (3e11, "3e+11")],
)
def test_numbers_are_short(value, words):
    assert wording.number(value) == words


@pytest.mark.parametrize(
    ("seconds", "words"), [(0.2, "0 s"), (99, "99 s"), (150, "2.5 min"), (7200, "2.0 h")]
)
def test_durations_have_a_fitting_unit(seconds, words):
    assert wording.duration(seconds) == words


@pytest.mark.parametrize("figure", SMALL)
def test_a_figures_story_is_its_docstring_without_title_and_commands(figure):
    told = str(wording.story(figure))
    assert "Source" not in told.split("('source'")[0] and "('source', 'Source: " in told
    assert "python -m" not in told and "Examples" not in told and catalogue.title(figure) not in told


def test_indented_lines_become_a_list_and_marked_words_elements():
    lines = ["  cuts        the smallest", "              one", "  eigenvalues above"]
    assert wording.items(lines) == [("cuts", "the smallest one"), ("eigenvalues", "above")]
    assert wording.prose("`a<b` *so* 2 * 3 * 4") == "<code>a&lt;b</code> <em>so</em> 2 * 3 * 4"


# ---- which runs -------------------------------------------------------------------------------------


def test_one_run_of_each_data_set_the_presets_own_first_and_then_the_newest(tmp_path):
    make(tmp_path, name="smoke-1", date="2026-01-03")
    make(tmp_path, name="smoke-2", date="2026-01-04")
    make(tmp_path, name="smoke-3", date="2026-01-05", settings={"k": 99})
    make(tmp_path, name="smoke-4", date="2026-01-03", settings={"seed": 5})
    make(tmp_path, name="quick-1")
    make(tmp_path, "fig6_swa", "smoke-cifar10-1", "cifar10", settings={"width": 7.0})
    make(tmp_path, "fig6_swa", "smoke-digits-1", "digits")
    make(tmp_path, "toy_cut", "smoke-1")
    (tmp_path / "toy_cut" / "smoke-1" / "results.npz").unlink()
    found = report.find(tmp_path, "smoke")
    shown = ["toy_probe/smoke-2", "fig6_swa/smoke-digits-1", "fig6_swa/smoke-cifar10-1"]
    assert [r.folder for r in found.shown] == shown
    assert dict(found.left_out) == {
        "toy_probe/smoke-1": "an older run",
        "toy_probe/smoke-3": "other settings: k = 99",
        "toy_probe/smoke-4": "an older run",  # another seed is no other experiment
    }
    assert found.unfinished == [("toy_cut", "toy_cut/smoke-1")] and found.others == {"quick"}
    text = Page(report.write(found).read_text()).text
    assert "averaged? (cifar10)" in text and "averaged? (digits)" in text
    assert "Not the preset's own settings: width = 7.0." in text and "toy_probe/smoke-3" in text
    assert "begun in toy_cut/smoke-1" in text and "… not finished" in text


def test_a_run_that_has_begun_again_is_not_shown_with_its_old_verdict(tmp_path):
    folder = make(tmp_path)
    config = json.loads((folder / "config.json").read_text())
    del config["provenance"]["seconds"]
    (folder / "config.json").write_text(json.dumps(config))
    assert report.find(tmp_path, "smoke").shown == []


def cut(name):
    return lambda folder: (folder / name).write_bytes((folder / name).read_bytes()[:40])


def halve(name):
    def harm(folder):
        content = (folder / name).read_bytes()
        (folder / name).write_bytes(content[: len(content) // 2])

    return harm


def flip(name):
    def harm(folder):
        content = bytearray((folder / name).read_bytes())
        content[len(content) // 2] ^= 4
        (folder / name).write_bytes(content)

    return harm


def put(name, value):
    return lambda folder: (folder / name).write_text(json.dumps(value))


def claims(*made):
    return lambda folder: write_claims(folder, made)


def change_provenance(**changes):
    def harm(folder):
        about = json.loads((folder / "config.json").read_text())
        about["provenance"] |= changes
        (folder / "config.json").write_text(json.dumps(about))

    return harm


@pytest.mark.parametrize(
    ("harm", "words"),
    [
        (cut("check.json"), "check.json is not JSON"),
        (cut("config.json"), "config.json is not JSON"),
        (lambda f: (f / "config.json").write_bytes(b"\xff\xfe\x00"), "config.json is not JSON"),
        (lambda f: (f / "check.json").write_text("[" * 10**5), "check.json is not JSON"),
        (lambda f: (f / "config.json").unlink(), "config.json cannot be read (No such file"),
        (cut("figure.png"), "figure.png is not a whole PNG file"),
        (lambda f: (f / "figure.png").unlink(), "figure.png cannot be read (No such file"),
        (put("config.json", []), "config.json holds a list, not an object"),
        (put("config.json", {}), "config.json lacks config"),
        (
            put("config.json", {"config": {"dataset": 3}, "provenance": {}}),
            "has 3 at config.dataset, not",
        ),
        (put("config.json", {"config": {}, "provenance": {}}), "config.json lacks provenance.command"),
        (
            change_provenance(seconds="long"),
            "config.json has 'long' at provenance.seconds, not a number",
        ),
        (
            change_provenance(software=["x"]),
            "config.json has a list at provenance.software, not an object",
        ),
        (change_provenance(date=3), "config.json has 3 at provenance.date, not text"),
        (put("check.json", {"passed": True}), "check.json lacks claims"),
        (put("check.json", {"claims": 3}), "check.json has 3 at claims, not a list"),
        (put("check.json", {"claims": ["x"]}), "check.json has 'x' at claims[0], not an object"),
        (
            claims(claim(), claim(passed="no")),
            "check.json has 'no' at claims[1].passed, not true or false",
        ),
        (
            claims(claim(measured="high")),
            "check.json has 'high' at claims[0].measured, not a number or null",
        ),
        (claims(claim(expected=None)), "check.json has null at claims[0].expected, not a number"),
        (claims(claim(relation=["<"])), "check.json has a list at claims[0].relation, not text"),
        (claims(claim(id={})), "check.json has an object at claims[0].id, not text"),
        (claims(claim(measured=10**399)), "check.json has a number of 400 digits"),
        (claims(claim(source="\ud800")), "check.json is not JSON"),
        (claims(claim(says=3)), "check.json has 3 at claims[0].says, not text or null"),
        (put("check.json", {"claims": [], "reference": 3}), "has 3 at reference, not an object or null"),
        (
            put("check.json", {"claims": [], "reference": {"numbers": 1}}),
            "check.json lacks reference.agree",
        ),
        (change_provenance(commit=3), "config.json has 3 at provenance.commit, not text or null"),
        (lambda f: (f / "results.npz").write_bytes(b""), "results.npz is too short for an archive"),
        (cut("results.npz"), "results.npz is too short for an archive of arrays"),
        (halve("results.npz"), "results.npz does not end as an archive of arrays"),
        (flip("results.npz"), "results.npz is not as it was written, by its SHA-256"),
        (lambda f: np.savez(f / "results.npz", x=1), "results.npz does not end as an archive of arrays"),
        (lambda f: (f / "figure.png").write_bytes(b"\x89PNG\r\n\x1a\nIEND"), "is not a whole PNG file"),
    ],
)
def test_a_damaged_run_is_one_line_and_the_others_are_shown(tmp_path, harm, words, capsys):
    make(tmp_path, "fig1_wedges")
    harm(make(tmp_path, "toy_probe"))
    assert report.run([f"--out_dir={tmp_path}", "--preset=smoke"]) == 0
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and f"damaged: {tmp_path / 'toy_probe/smoke-1'}: " in error
    assert words in error and "remove it and run the figure again" in error
    text = Page((tmp_path / "report-smoke.html").read_text()).text
    assert "! damaged" in text and words in text and "✓ reproduced" in text
    assert "1 of 1 claim hold in 1 run " in text


def test_a_folder_without_runs_is_one_line_that_names_a_command(tmp_path):
    words = r"no finished run of --preset=paper there; python -m reproductions.run_all --preset=paper"
    with pytest.raises(UsageError, match=rf"--out_dir=.*: {words}"):
        report.run([f"--out_dir={tmp_path / 'none'}"])
    make(tmp_path)
    with pytest.raises(UsageError, match="only of smoke; --preset=smoke shows those"):
        report.run([f"--out_dir={tmp_path}"])


@pytest.mark.parametrize(
    ("flag", "words"),
    [
        ("--output={out}", "is a folder; name a file"),
        ("--output={out}/x.pdf", "x.pdf: the page is HTML; name a file that ends in .html"),
        ("--output=/dev/null/page.html", "cannot write /dev/null/page.html"),
        ("--preset=large", "--preset=large"),
        ("--only=toy_cut", "Unknown command line flag 'only'"),
        ("page.html", "received 'page.html'"),
    ],
)
def test_bad_flags_are_one_line_and_status_two(tmp_path, flag, words, capsys):
    make(tmp_path)
    flags = [f"--out_dir={tmp_path}", "--preset=smoke", flag.format(out=tmp_path)]
    with pytest.raises(SystemExit) as end:
        report.main(flags)
    printed = capsys.readouterr()
    assert end.value.code == 2 and printed.out == "" and printed.err.count("\n") == 1
    assert printed.err.startswith("report: ") and words in printed.err
    assert [p.name for p in tmp_path.iterdir()] == ["toy_probe"]


def test_help_names_its_flags(capsys):
    with pytest.raises(SystemExit) as end:
        report.main(["--help"])
    text = capsys.readouterr().out
    assert end.value.code == 0 and all(f"--{f}" in text for f in ("preset", "out_dir", "output"))
    assert "--jobs" not in text


# ---- in a browser -----------------------------------------------------------------------------------

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
BROWSER = next(filter(None, map(shutil.which, BROWSERS)), None)
browser = pytest.mark.skipif(BROWSER is None, reason="no chromium")
# A window is never narrower than 500, so the page stands in a frame of the width that is wanted, and
# tells the page around it what came of it.
MEASURE = """<script>addEventListener("load", () => {
  const root = document.documentElement, all = [...document.body.querySelectorAll("*")];
  const wide = e => e.getBoundingClientRect().right > innerWidth + 0.5 && !e.closest("figure");
  const found = {
    inner: innerWidth, scroll: root.scrollWidth,
    images: [...document.images].map(i => i.naturalWidth),
    wide: all.filter(wide).map(e => e.outerHTML.slice(0, 80)),
    letters: Math.min(...all.map(e => parseFloat(getComputedStyle(e).fontSize))),
    hint: getComputedStyle(document.querySelector(".scrolls")).display,
  };
  const label = document.querySelector(".zoom"), frame = label.querySelector(".frame");
  found.before = getComputedStyle(frame).position;
  label.click();
  found.enlarged = getComputedStyle(frame).position;
  const picture = label.querySelector("img");
  found.natural = picture.getBoundingClientRect().width / picture.naturalWidth;
  label.click();
  found.after = getComputedStyle(frame).position;
  parent.postMessage(JSON.stringify(found), "*");
})</script>"""
FRAME = """<script>addEventListener("message", e => {
  document.body.textContent = "found" + encodeURIComponent(e.data) + "end";
})</script><body><iframe src="copy.html" width="%d" height="2000" style="border: 0"></iframe></body>"""


def browse(page, folder, width, *flags):
    """Run the browser on a page without any network: its standard output."""
    command = [BROWSER, "--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"]
    command += ["--disable-dev-shm-usage", f"--user-data-dir={folder / 'profile'}"]
    command += ["--host-resolver-rules=MAP * ~NOTFOUND", "--proxy-server=127.0.0.1:9"]
    command += ["--virtual-time-budget=5000", f"--window-size={width},2000", *flags, page.as_uri()]
    environment = {**os.environ, "HOME": str(folder)}
    return subprocess.run(command, check=True, capture_output=True, timeout=180, env=environment).stdout


@browser
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_a_browser_shows_it(real, tmp_path, width, dark):
    page = tmp_path / "page.html"
    shot = tmp_path / "shot.png"
    report.write(report.find(real, "smoke"), page)
    browse(page, tmp_path, width, f"--screenshot={shot}", *["--force-dark-mode"] * dark)
    image = Image.open(shot).convert("RGB")
    assert image.size == (width, 2000)
    colours = image.getcolors(image.width * image.height)
    share = {colour: count / (width * 2000) for count, colour in colours}
    ground = (20, 23, 27) if dark else (255, 255, 255)
    assert 0.5 < share[ground] < 0.97 and len(share) > 200  # letters and pictures on one ground
    # Words, a table or a picture down the whole first screens, nothing but the ground at the margins.
    grey = image.convert("L")
    bands = [grey.crop((0, y, width, y + 200)).getextrema() for y in range(0, 2000, 200)]
    assert all(high > 190 and low < 30 if dark else low < 120 and high == 255 for low, high in bands)
    for x in (0, width - 8):
        assert set(image.crop((x, 0, x + 8, 2000)).getdata()) == {ground}


@browser
@pytest.mark.parametrize("width", [1280, 390])
def test_its_pictures_load_and_nothing_is_wider_than_the_screen(real, tmp_path, width):
    source = page_of(real, output=tmp_path / "page.html", failed={"toy_cut": "x/" * 200})
    copy = tmp_path / "copy.html"
    without_policy = re.sub(r"<meta http-equiv[^>]*>", "", source)
    copy.write_text(without_policy.replace("</body>", f"{MEASURE}</body>"))
    frame = tmp_path / "frame.html"
    frame.write_text(FRAME % width)
    shown = browse(frame, tmp_path, 1300, "--dump-dom").decode()
    found = json.loads(urllib.parse.unquote(re.search("<body>found(.*?)end<", shown).group(1)))
    assert found["inner"] == width  # the browser did lay it out for this width
    assert found["scroll"] <= width and found["wide"] == []
    assert len(found["images"]) == 4 and min(found["images"]) >= 480
    assert found["letters"] >= 12
    assert found["hint"] == ("block" if width == 390 else "none")
    # A picture is enlarged by a click, and goes back by another.
    assert found["before"] == found["after"] == "static" and found["enlarged"] == "fixed"
    assert found["natural"] == pytest.approx(1, abs=0.01)


@browser
def test_the_browser_runs_no_script_of_the_page(tmp_path):
    """Were something not escaped, the page's own policy still forbids it."""
    make(tmp_path)
    page = tmp_path / "page.html"
    script = "<script>document.body.innerHTML = 'it ran'</script></body>"
    page.write_text(page_of(tmp_path).replace("</body>", script))
    shown = browse(page, tmp_path, 1200, "--dump-dom").decode()
    assert "toy.probe.x" in shown and "<body>it ran" not in shown
