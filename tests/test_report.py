"""Pictures and the page."""

import dataclasses
import re

import imagecodecs
import numpy as np
import pytest
import torch

from nt2c.report.figures import Panel, grey_limits, png, save_validation, shrink, strip
from nt2c.report.html import (
    EXTRACT_FROM_RAW,
    Comparison,
    Page,
    Section,
    Table,
    render,
    write_page,
)


def decode(data):
    return imagecodecs.png_decode(data)


def noise(seed=0, shape=(200, 300), mean=5.0, sd=2.0):
    return np.random.default_rng(seed).normal(mean, sd, shape).astype(np.float32)


@pytest.fixture
def page():
    dark, bright = (
        png(np.zeros((8, 9), np.float32), (0, 1)),
        png(np.ones((8, 9), np.float32), (0, 1)),
    )
    return Page(
        title="a <b> & c",
        verdict="It works.",
        table=Table(columns=["", "score"], rows=[["raw", "0.1"], ["nt2c", "0.9"]], emphasis=1),
        comparisons=[Comparison("field", dark, bright, panels=[("truth", dark)])],
        details=["seed 0"],
    )


def test_grey_limits_are_those_of_a_normal_distribution():
    low, high = grey_limits(noise(), sigmas=3.0)
    # a quantile q of n normal values scatters by sd sqrt(q (1 - q) / n) / density(q): 0.03 here
    assert low == pytest.approx(5 - 3 * 2, abs=0.2)
    assert high == pytest.approx(5 + 3 * 2, abs=0.2)


def test_grey_limits_ignore_few_outliers():
    image = noise()
    with_hot = image.copy()
    with_hot[:3, :30] = 1e6
    assert np.subtract(*grey_limits(with_hot)) == pytest.approx(
        np.subtract(*grey_limits(image)), rel=0.05
    )


def test_grey_limits_of_a_constant_image_can_be_shown():
    low, high = grey_limits(np.full((4, 4), 7.0, np.float32))
    assert low < 7 < high


def test_png_keeps_place_and_grey():
    image = np.array([[0, 1, 2], [3, 4, 9]], np.float32)
    np.testing.assert_array_equal(decode(png(image, (0, 4))), [[0, 64, 128], [191, 255, 255]])


def test_shrink_keeps_the_mean_and_never_enlarges():
    image = noise()
    small = shrink(image, 100)
    assert small.shape == (67, 100)
    assert small.mean() == pytest.approx(image.mean(), abs=1e-4)
    assert shrink(image, 1000) is image


def test_strip_shows_panels_side_by_side_at_one_scale():
    black, white = np.zeros((40, 40), np.float32), np.ones((40, 40), np.float32)
    picture = decode(
        strip([Panel("a", black), Panel("b", white), Panel("own", white, (1, 2))], (0, 1))
    )
    height, width = picture.shape
    middle = picture[height // 2]
    assert middle[width // 6] == 0
    assert middle[width // 2] == 255
    assert middle[width * 5 // 6] == 0


def test_validation_picture_has_a_row_for_each_field(tmp_path):
    fields = [torch.full((6, 8, 10), float(i)) for i in range(3)]
    fields[2][1] = 100.0
    save_validation(tmp_path / "there" / "v.png", *fields, fields=2)
    picture = decode((tmp_path / "there" / "v.png").read_bytes())
    assert picture.shape == (2 * 8, 3 * 10)
    assert picture[12, 25] > picture[4, 25]


def test_page_asks_the_network_for_nothing(page):
    html = render(page)
    assert re.findall(r"https?:|//[a-z]", html) == []
    assert "url(" not in html
    assert "@import" not in html
    sources = re.findall(r'(?:src|href)="([^"]*)"', html)
    assert len(sources) == 4
    assert all(source.startswith("data:") for source in sources)


def test_page_says_everything_and_escapes(page):
    html = render(page)
    assert "a &lt;b&gt; &amp; c" in html
    for text in ("It works.", EXTRACT_FROM_RAW, "0.9", "seed 0", "prefers-color-scheme: dark"):
        assert text in html
    assert html.count('class="emphasis"') == 1
    assert html.index('class="emphasis"') > html.index("<td>raw</td>")


def test_sections_come_before_the_micrographs(page):
    picture = png(np.zeros((8, 9), np.float32), (0, 1))
    table = Table(["", "ratio"], [["spectrum", "1.02"]], note="per ring")
    section = Section("noise < 3 %", "What is left.", [("windows", picture)], table)
    html = render(dataclasses.replace(page, sections=[section]))
    for text in ("noise &lt; 3 %", "What is left.", 'alt="windows"', "1.02", "per ring"):
        assert text in html
    assert html.index("noise &lt;") < html.index("<h2>field")
    assert html.startswith("<!doctype html>")


def test_page_is_written_whole(page, tmp_path):
    write_page(tmp_path / "index.html", page)
    assert (tmp_path / "index.html").read_text().endswith("</html>")
    assert [path.name for path in tmp_path.iterdir()] == ["index.html"]
