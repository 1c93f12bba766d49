"""Pictures as files: sound XML that needs nothing else, in the page's colours, legible in any viewer."""

from __future__ import annotations

import re
from importlib.resources import files
from pathlib import Path
from xml.etree import ElementTree

import pytest

from snnas.hw_sim.errors import UsageError
from snnas.toolchain.bench import sizes
from snnas.toolchain.diagnosing import picture as of_diagnosis
from snnas.toolchain.output.drawing import Panel, check_picture, write_drawing
from snnas.toolchain.output.svg import WIDTH, Key, Plane, around_logs, picture, powers, text
from snnas.toolchain.searching import front_picture

SVG = "{http://www.w3.org/2000/svg}"
STYLE = files("snnas.toolchain.output").joinpath("drawing.css").read_text(encoding="utf-8")
PAGE = files("snnas.toolchain.html").joinpath("style.css").read_text(encoding="utf-8")


def front() -> dict[str, object]:
    def cost(uj: float) -> dict[str, object]:
        return {"energy_uJ": {"low": uj / 2, "nominal": uj, "high": 2 * uj}, "latency_us": None, "figures": {}}

    points = [
        {
            "n": n,
            "score": 400 + 10 * n,
            "predicted": cost(10.0 * n),
            "measured": {**cost(11.0 * n), "accuracy": accuracy, "samples": 100},
            "beaten": n == 2,
        }
        for n, accuracy in ((1, 0.8), (2, 0.7), (3, 0.9))
    ]
    candidates = [[400.0, 30.0], [390.0, 20.0]]
    return {"run": "a<b", "priced": 5, "objectives": ["score", "energy_total"], "points": points,
            "candidates": candidates}  # fmt: skip


def diagnosis() -> dict[str, object]:
    rows = [
        {"population": f"p{k}", "fraction": [share, 2 * share], "own_fraction": [0.0, share]}
        for k, share in enumerate((0, 0.0004, 0.001, 0.004, 0.02, 0.04, 0.2))
    ]
    return {"subject": "s", "faults": [{"population": "p4", "kind": "kernel flipped"}],
            "divergence": {"timesteps": 2, "populations": rows}}  # fmt: skip


def costs() -> list[dict[str, float]]:
    def row(neurons: int, fan: float, activity: float) -> dict[str, float]:
        return {"neurons": neurons, "synapses": fan * neurons, "activity": activity, "us": neurons * (0.004 + activity)}

    rows = [row(8 * e * e, 70, a) for e in sizes.EXTENTS for a in sizes.ACTIVITIES]
    return [*rows, row(8 * sizes.EXTENTS[2] ** 2, 280, 0.1)]


def drawn(folder: Path) -> dict[str, ElementTree.Element]:
    front_picture.write_picture(front(), folder / "front.svg")  # type: ignore[arg-type]
    of_diagnosis.write_picture(diagnosis(), folder / "divergence.svg")
    sizes.write_picture(costs(), folder / "sizes.svg")
    return {path.stem: ElementTree.parse(path).getroot() for path in sorted(folder.glob("*.svg"))}


def ruled() -> set[tuple[str, str]]:
    """(element or '*', class) of every rule of the style sheet that paints."""
    found = set()
    for names in re.findall(r"([^{}]+)\{", STYLE):
        for name in names.split(","):
            tag, *classes = name.strip().split(".")
            found |= {(tag or "*", c) for c in classes}
    return found


def test_every_class_that_is_drawn_has_a_rule(tmp_path: Path) -> None:
    """Else a shape is black, whatever it stands for."""
    rules, unknown = ruled(), set()
    for root in drawn(tmp_path).values():
        for element in root.iter():
            tag = element.tag.removeprefix(SVG)
            for name in element.get("class", "").split() if tag != "text" else ():  # its colour is the sheet's ink
                if (tag, name) not in rules and ("*", name) not in rules:
                    unknown.add((tag, name))
    assert unknown - {("rect", "bar"), ("line", "mark")} == set()  # hooks of the page's sheet


def test_the_colours_are_those_of_the_pages_light_theme() -> None:
    ours = set(re.findall(r"#[0-9a-f]{6}", STYLE))
    assert ours <= {light for light in re.findall(r"light-dark\((#[0-9a-f]{6}),", PAGE)}
    light = dict(re.findall(r"--(\w+): light-dark\((#[0-9a-f]{6}),", PAGE))
    for name in ("c1", "c2", "c3", "c6", "s0", "s1", "s2", "s3", "s4", "s5", "s6"):
        assert re.search(rf"rect\.{name} {{ fill: {light[name]}; }}", STYLE), name


def test_no_viewer_needs_more_than_plain_css() -> None:
    assert not re.search(r"var\(|light-dark|url\(|@import|@media", STYLE)


def test_what_the_pictures_say(tmp_path: Path) -> None:
    texts = {name: [e.text for e in root.iter(f"{SVG}text")] for name, root in drawn(tmp_path).items()}
    assert {"a<b: front of 5 networks", "energy, uJ / inference, measured", "3", "beaten"} <= set(texts["front"])
    assert "points of front.json. Accuracy on 100 validation" in " ".join(map(str, texts["front"]))
    assert {"p6", "20.0", "kernel flipped", "Inherited, or made here"} <= set(texts["divergence"])
    assert {"1,000", "10,000", "100,000", "1e6", "50% active"} <= set(texts["sizes"])


def test_panels_lie_beside_each_other_within_the_picture(tmp_path: Path) -> None:
    for name, root in drawn(tmp_path).items():
        width, height = (float(root.get(side, "0")) for side in ("width", "height"))
        assert root.get("viewBox") == f"0 0 {width:g} {height:g}"
        inner = [e for e in root.iter(f"{SVG}svg") if e is not root]
        assert len(inner) == 2
        first, second = (float(e.get("x", "nan")) for e in inner)
        assert second - first >= WIDTH
        for element in inner:
            assert float(element.get("x", "nan")) + float(element.get("width", "nan")) <= width, name
            assert float(element.get("y", "nan")) + float(element.get("height", "nan")) <= height, name


def test_a_point_lies_where_its_logarithm_says() -> None:
    plane = Plane((1, 10_000), (1, 100), log=True, left=0, right=0, top=0, bottom=0, height=100)
    assert plane.at(100, 10) == pytest.approx((WIDTH / 2, 50))
    assert powers(0.5, 2000) == [1, 10, 100, 1000]
    assert powers(1, 10) == [1, 10]
    low, high = around_logs([10, 1000])
    assert low < 10 < 1000 < high
    assert low * high == pytest.approx(10_000)


def test_names_that_do_not_fit_a_line_begin_another(tmp_path: Path) -> None:
    keys = tuple(Key(f"a series with a rather long name {k}", "c1") for k in range(3))
    panel = Panel("title", picture("t", "d", 10, text(0, 0, "x")), keys)
    write_drawing(tmp_path / "a.svg", "heading", [panel])
    groups = [e.get("transform", "") for e in ElementTree.parse(tmp_path / "a.svg").getroot().iter(f"{SVG}g")]
    assert len({place.split()[1] for place in groups}) == 3


@pytest.mark.parametrize("name", ["a.png", "a.pdf", "a"])
def test_another_ending_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match=rf"--plot {name}: pictures are SVG; name it a\.svg"):
        check_picture(Path(name), "--plot")
    check_picture(Path("a.SVG"), "--plot")
