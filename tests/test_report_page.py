"""The page of `nt2c report`: what it says of a folder, and that a browser can use it."""

import base64
import dataclasses
import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
import torch
from selenium import webdriver

from nt2c.batch.summary import FileResult, RunRecord, summary_path, write_summary
from nt2c.cli.app import main
from nt2c.core.errors import InputError
from nt2c.imaging.fourier import apply_filter, frequency_grid
from nt2c.io.micrographs import write_micrograph
from nt2c.pipeline.records import (
    ContrastRecord,
    EvaluationRecord,
    FidelityRecord,
    FitRecord,
    ModelRecord,
    NoiseRecord,
    RecipeRecord,
    StageRecord,
    TrainingRecord,
    WindowsRecord,
)
from nt2c.report.batch import write_report
from nt2c.report.fit import fit_table, training_sections
from nt2c.report.fit_verdict import fit_verdict
from nt2c.report.hints import hints_of
from nt2c.report.looks import Look, look
from nt2c.report.pictures import TOTAL_BYTES, rooms, shared_limits, webp
from nt2c.report.sources import Source, find_source

PIXEL_A = 4.0
SIDE = 128
ABOUT = RunRecord(
    version="1",
    finished=True,
    model="general",
    model_hash="0",
    settings={"precision": "fp32", "pixel_size_a": None, "tile_px": 512},
    device="cpu",
    seconds=1.0,
)
GOOD = Look(2.0, 0.0, 0.0, 0.01, 1.0, (1.0,), (1.0,))


def noise(seed: int) -> torch.Tensor:
    return torch.randn(SIDE, SIDE, generator=torch.Generator().manual_seed(seed))


def signal(strength: float) -> torch.Tensor:
    line = torch.arange(SIDE).float()
    places = [(32, 40), (90, 30), (70, 96)]
    square = [(line[:, None] - y) ** 2 + (line - x) ** 2 for y, x in places]
    return -strength * sum((torch.exp(-one / 60) for one in square), torch.zeros(SIDE, SIDE))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Results for six micrographs: strong, weak, empty; one failed, one vanished, one torn."""
    root = tmp_path_factory.mktemp("report")
    results = []
    for index, name in enumerate(["b_weak", "a_strong", "c_empty", "d_failed", "e_gone", "f_torn"]):
        raw, out = root / "raw" / f"{name}.mrc", root / "denoised" / f"{name}.mrc"
        clean = signal({"b_weak": 1.5, "a_strong": 3.0}.get(name, 0.0))
        write_micrograph(raw, (clean + noise(index) + 10).numpy(), PIXEL_A)
        write_micrograph(out, (clean + 10 + 0.01 * noise(9)).numpy(), PIXEL_A)
        failed = name == "d_failed"
        message = f"{raw}: <b>bad</b>" if failed else ""
        results.append(FileResult(raw, out, "failed" if failed else "done", message))
    (root / "raw" / "e_gone.mrc").unlink()
    torn = root / "denoised" / "f_torn.mrc"
    torn.write_bytes(torn.read_bytes()[:2000])
    write_summary(summary_path(root / "denoised"), results, ABOUT, finished=True)
    return root / "denoised"


@pytest.fixture(scope="module")
def page(folder: Path) -> Path:
    assert main(["report", str(folder)]) == 1  # two files cannot be shown
    return folder / "report.html"


def data(page: Path) -> dict[str, Any]:
    found = re.search(r'id="data">(.*?)</script>', page.read_text())
    assert found
    return json.loads(found[1])


def test_every_micrograph_is_there_and_bad_ones_are_named(page: Path) -> None:
    items = {item["name"]: item for item in data(page)["items"]}
    statuses = [item["status"] for item in items.values()]
    assert statuses == ["done", "done", "done", "failed", "unreadable", "unreadable"]
    assert items["a_strong.mrc"]["contrast"] > items["b_weak.mrc"]["contrast"] > 0.1
    assert items["c_empty.mrc"]["hints"] == ["empty"]
    assert items["a_strong.mrc"]["hints"] == []
    assert "e_gone.mrc: no such file" in items["e_gone.mrc"]["notes"][0]
    html = page.read_text()
    assert "5 of 6 micrographs" not in html
    assert "1 failed. 2 cannot be read any more.</p>" in html
    assert "1 should be looked at" in html
    assert "<b>bad" not in html


def test_micrographs_come_in_order_from_several_threads(folder: Path, tmp_path: Path) -> None:
    raw = folder.parent / "raw"
    stems = ["a_strong", "c_empty", "b_weak"] * 8
    results = [FileResult(raw / f"{s}.mrc", folder / f"{s}.mrc", "done") for s in stems]
    write_summary(summary_path(tmp_path), results, ABOUT, finished=True)
    before = torch.get_num_threads()
    torch.set_num_threads(4)
    try:
        shown: list[str] = []
        written = write_report(find_source(tmp_path), on_item=shown.append)
        assert torch.get_num_threads() == 4
    finally:
        torch.set_num_threads(before)
    assert shown == [f"{stem}.mrc" for stem in stems]
    items = data(written.path)["items"]
    assert [item["name"] for item in items] == shown
    assert items[0]["contrast"] == items[3]["contrast"] > items[2]["contrast"]


def test_settings_that_were_not_given_are_not_listed(page: Path) -> None:
    assert "precision fp32, tile px 512" in page.read_text()


def test_one_micrograph_is_no_plural(folder: Path, tmp_path: Path) -> None:
    done = FileResult(folder.parent / "raw" / "a_strong.mrc", folder / "a_strong.mrc", "done")
    write_summary(summary_path(tmp_path), [done], ABOUT, finished=True)
    written = write_report(find_source(tmp_path))
    assert written.verdict.startswith("1 of 1 micrograph is denoised with the model general.")


def test_page_asks_the_network_for_nothing(page: Path) -> None:
    html = page.read_text()
    assert re.findall(r"https?:|@import|url\(|<link[^>]+href=\"[^d]", html) == []
    assert [one.name for one in page.parent.glob("*.html")] == ["report.html"]
    assert not list(page.parent.glob(".*partial"))


def test_a_folder_of_something_else_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"neither summary\.json"):
        find_source(tmp_path)
    (tmp_path / "summary.shard-1-of-2.json").touch()
    with pytest.raises(InputError, match="nt2c merge"):
        find_source(tmp_path)


@pytest.mark.parametrize(
    ("change", "hint"),
    [
        ({"contrast": 0.05}, "empty"),
        ({"dark": 0.02}, "ice"),
        ({"ice_ring": 3.0}, "ring"),
        ({"rim": 0.3, "dark": 0.2}, "carbon"),
        ({"direction": 0.6}, "drift"),
    ],
)
def test_each_hint_has_its_figure(change: dict[str, float], hint: str) -> None:
    assert hints_of(GOOD) == []
    assert hints_of(dataclasses.replace(GOOD, **change)) == [hint]


def test_looks_tell_patches_edges_and_blur_from_even_noise() -> None:
    large = torch.randn(300, 300, generator=torch.Generator().manual_seed(1)) + 20
    line = torch.arange(300).float()
    patch = large - 6 * (((line[:, None] - 150) ** 2 + (line - 150) ** 2) < 25**2).float()
    edge = large - 6 * ((line[:, None] + line) < 180).float()
    blurred = large + 3 * torch.nn.functional.avg_pool2d(large[None] - 20, (1, 7), 1, (0, 3))[0]
    for image, hints in ((large, []), (patch, ["ice"]), (edge, ["carbon"]), (blurred, ["drift"])):
        assert hints_of(look(image.numpy(), None, PIXEL_A)) == hints


def test_a_ring_of_ice_is_measured() -> None:
    pixel_a, side = 1.2, 1024
    white = torch.randn(side, side, generator=torch.Generator().manual_seed(3))
    frequency = frequency_grid((side, side), pixel_a)
    ring = (frequency > 1 / 4.1) & (frequency < 1 / 3.4)
    icy = apply_filter(white, 1 + (3**0.5 - 1) * ring)  # three times the power
    assert look(white.numpy(), None, pixel_a).ice_ring == pytest.approx(1, abs=0.03)
    found = look(icy.numpy(), None, pixel_a)
    # The taper spreads the borders over a bin: 15 bins lose two halves to 11 and 12 beside them.
    assert found.ice_ring == pytest.approx(2.75, rel=0.04)
    assert hints_of(found) == ["ring"]
    assert look(white.numpy(), None, 1.7).ice_ring is None


def test_spectrum_of_white_noise_is_one() -> None:
    white = torch.randn(256, 256, generator=torch.Generator().manual_seed(2)) * 7 + 50
    # rings of 49 overlapping squares hold over 1000 coefficients beyond the first few
    np.testing.assert_allclose(look(white.numpy(), None, PIXEL_A).raw[8:], 1, atol=0.15)


def test_pictures_keep_within_their_share() -> None:
    rough = noise(3).numpy()
    for count in (1, 300, 2000, 20000):
        both = rooms(count)
        assert count * sum(room.most_bytes for room in both) <= TOTAL_BYTES
        for room in both:
            assert len(webp(rough, (-2.0, 2.0), room)) <= 4 * (room.most_bytes + 2) / 3
    for many, few in zip(rooms(2000), rooms(10), strict=True):
        assert few.longest_px > 2 * many.longest_px
    low, high = shared_limits(rough, 0.1 * rough)
    assert low < -1.2
    assert high > 1.2


def test_a_denoised_picture_is_as_large_as_there_is_room_for() -> None:
    """Coarser before it gets smaller: a page of 40 has pictures to look at, not thumbnails."""
    line = np.arange(1500, dtype=np.float32)
    smooth = np.sin(line[:, None] / 25) * np.sin(line / 31)
    smooth += 0.02 * np.random.default_rng(0).normal(size=smooth.shape)
    for count, least_px in ((40, 1440), (3000, 150)):
        room = rooms(count)[1]
        data = base64.b64decode(webp(smooth.astype(np.float32), (-2.0, 2.0), room))
        assert max(imagecodecs.webp_decode(data).shape) >= least_px


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """A headless Chromium that keeps a log of its console and of the network."""
    programs = shutil.which("chromium"), shutil.which("chromedriver")
    if None in programs:
        pytest.skip("chromium or chromedriver is not installed")
    options = webdriver.ChromeOptions()
    options.binary_location = programs[0]
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(programs[1]))
    yield driver
    driver.quit()


def names(browser: Any) -> list[str]:
    script = "return [...document.querySelectorAll('.name')].map((n) => n.textContent[0])"
    return browser.execute_script(script)


def choose(browser: Any, menu: str, value: str) -> list[str]:
    script = (
        "const m = document.getElementById(arguments[0]); m.value = arguments[1];"
        "m.dispatchEvent(new Event(m.type === 'search' ? 'input' : 'change'))"
    )
    browser.execute_script(script, menu, value)
    return names(browser)


def test_in_a_browser(page: Path, browser: Any) -> None:
    browser.get(page.as_uri())
    assert names(browser) == list("bacdef")
    assert choose(browser, "sort", "name") == list("abcdef")
    assert choose(browser, "sort", "high")[:3] == list("abc")
    assert choose(browser, "filter", "failed") == list("def")
    assert choose(browser, "filter", "empty") == ["c"]
    choose(browser, "filter", "all")
    assert choose(browser, "search", "STRONG") == ["a"]
    choose(browser, "search", "")

    after, slider = (
        browser.find_element("css selector", f".compare {x}") for x in (".after", "input")
    )
    before = after.value_of_css_property("clip-path")
    slider.send_keys(*["\ue012"] * 5)  # arrow to the left
    assert after.value_of_css_property("clip-path") != before
    browser.execute_script("arguments[0].scrollIntoView()", slider)
    loaded = (
        "const i = arguments[0], end = arguments[1]; i.decode().then(() => end(i.naturalWidth))"
    )
    assert browser.execute_async_script(loaded, after) >= 96

    browser.find_element("css selector", ".name").click()
    assert browser.find_element("id", "detail").is_displayed()
    assert len(browser.find_elements("css selector", "#detail .chart path")) == 2
    browser.find_element("id", "next").click()
    browser.find_element("id", "close").click()

    assert browser.get_log("browser") == []
    events = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    asked = [
        e["params"]["request"]["url"] for e in events if e["method"] == "Network.requestWillBeSent"
    ]
    assert [url for url in asked if not url.startswith(("data:", "file:"))] == []
    assert len([url for url in asked if url.startswith("file:")]) == 1


@pytest.mark.parametrize("width", [360, 1200])
def test_nothing_is_cut_on_any_screen(page: Path, browser: Any, width: int) -> None:
    screen = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 500}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
    browser.get(page.as_uri())
    browser.find_element("css selector", ".name").click()
    wider = (
        "return [...document.querySelectorAll('.scroll, #detail-body, html')]"
        ".filter((e) => e.scrollWidth > e.clientWidth).length"
    )
    assert browser.execute_script(wider) == 0
    texts = browser.find_elements("css selector", "#detail .figures td")
    assert {"contrast, 20 to 200 A", "dark area"} < {text.text for text in texts}
    assert all(text.rect["x"] + text.rect["width"] <= width for text in texts)
    browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_contrast_has_a_unit(page: Path, browser: Any) -> None:
    browser.get(page.as_uri())
    browser.execute_script("DATA.items[2].contrast = 0.0000676; update()")
    shown = [text.text for text in browser.find_elements("css selector", ".card .text span")]
    contrasts = [text for text in shown if text.startswith("contrast")]
    assert contrasts[2] == "contrast under 0.01 × noise variance"
    assert all(re.fullmatch(r"contrast [\d.]+ × noise variance", text) for text in contrasts[:2])
    assert re.search(r"<td[^>]*>[\d.]+ × noise variance</td>", page.read_text())


def test_a_spectrum_that_falls_off_the_chart_is_no_floor(page: Path, browser: Any) -> None:
    browser.get(page.as_uri())
    draw = (
        "const figure = document.createElement('figure'); document.body.append(figure);"
        "const curves = [{ name: 'a', x: [0, 1, 2, 3], y: [1, 1e-4, 1e-8, 1e-12] }];"
        "drawChart(figure, { curves, x_label: 'x', y_label: 'y', log: true });"
        "const line = figure.querySelector('path'), plot = line.parentElement;"
        "const { y, height } = plot.viewBox.baseVal, box = line.getBBox();"
        "return [box.y + box.height - y - height, getComputedStyle(plot).overflow]"
    )
    beyond, overflow = browser.execute_script(draw)
    assert beyond > 100  # it goes on falling, below the border that cuts it
    assert overflow == "hidden"


def judged(folder: Path, training: dict[str, Any], evaluation: dict[str, Any]) -> str:
    """What the report of a fit says first."""
    left = {
        "noise_left": {"of_noise": 0.02, "of_output": 0.1},
        "noise_left_before": {"of_noise": 0.4, "of_output": 0.5},
    }
    fit = FitRecord(
        version="",
        recipe=RecipeRecord(name="", seed=0, noise="white"),
        coarse=ModelRecord(name="general", fingerprint=""),
        inputs=(),
        structures=(),
        stages={},
        windows=WindowsRecord(
            windows=1, micrographs=1, size_px=8, pixel_size_a=4.0, failed=(), given=1, looked_at=1
        ),
        noise=NoiseRecord(noise="white", judged_by=1, fidelity=FidelityRecord()),
        contrast=ContrastRecord(k1=1.0, error=0.1, gain=1.0, per_micrograph=()),
        training=TrainingRecord.model_validate(left | training),
    )
    measured = EvaluationRecord.model_validate(left | evaluation)
    first, noise_left = fit_verdict(Source(folder, (), None, fit, measured, {}))
    assert "it leaves 2 % of the noise, the model that its training started from 40 %" in noise_left
    return first


@pytest.mark.parametrize(
    ("fitted", "coarse", "words", "used"),
    [
        ((0.9, 0.8), (0.8, 0.7), "better than general", "Use {}."),
        ((0.8, 0.7), (0.9, 0.8), "worse than general", "Use general."),
        ((0.004, -0.0), (0.86, 0.85), "worse than general", "Use general."),
        ((0.8, 0.802), (0.801, 0.8), "level with general", "Use general, or either."),
        ((0.9, 0.6), (0.7, 0.7), "level with general", "Use general, or either."),  # scatter
    ],
)
def test_an_independent_exposure_says_which_model_to_use(
    tmp_path: Path, fitted: tuple[float, ...], coarse: tuple[float, ...], words: str, used: str
) -> None:
    methods = {"fitted": fitted, "coarse": coarse}
    fields = [
        {"raw": 0.1} | {name: values[i] for name, values in methods.items()}
        for i in range(len(fitted))
    ]
    pooled = {"raw": 0.1} | {name: float(np.mean(values)) for name, values in methods.items()}
    independent = {"fraction": pooled, "fields": dict(zip("ab", fields, strict=True))}
    said = judged(tmp_path, {}, {"independent": independent})
    assert f"The fitted model is {words}: " in said
    assert said.endswith(used.format(tmp_path / "model.safetensors"))


@pytest.mark.parametrize(
    ("taken", "errors", "words", "used"),
    [
        ("half", {"half": 0.5, "given": 0.6}, "is better than general", "Use {}."),
        ("fitted", {"fitted": 0.6, "given": 0.601}, "is level with general", "or either."),
        ("start", {"start": 0.5, "given": 0.6}, "is better than general", "Use {}."),
        ("given", {"fitted": 0.7, "given": 0.6}, "no model that is better", "Use general."),
        ("start", {"fitted": 0.7, "start": 0.6}, "no model that is better", "Use general."),
        ("half", {"half": 0.5, "start": 0.6}, "is better than general", "Use {}."),
        ("fitted", {"fitted": None, "given": 0.6}, "is not known", "nt2c run --independent."),
    ],
)
def test_else_what_the_fit_held_out_says_it(
    tmp_path: Path, taken: str, errors: dict[str, float | None], words: str, used: str
) -> None:
    said = judged(
        tmp_path, {"choice": {"taken": taken, "why": "", "errors": {"fields": errors}}}, {}
    )
    assert words in said
    assert said.endswith(used.format(tmp_path / "model.safetensors"))


def test_a_fit_without_a_judge_is_not_praised(tmp_path: Path) -> None:
    assert "is not known" in judged(tmp_path, {}, {})


def test_few_values_of_a_training_are_told_and_not_drawn(tmp_path: Path) -> None:
    (tmp_path / "training").mkdir()
    lines = [{"step": step, "loss": 1 / step} for step in range(1, 5)]
    lines[-1]["validation_correlation2"] = 0.194
    log = tmp_path / "training" / "log.jsonl"
    log.write_text("".join(json.dumps(line) + "\n" for line in lines))
    (section,) = training_sections(tmp_path)
    assert [chart.title for chart in section.charts] == ["training: loss"]
    assert section.table is not None
    assert section.table.rows == [["training: correlation² with held-out truth", "4", "0.194"]]


def test_warnings_of_a_fit_are_in_its_table() -> None:
    stage = StageRecord(verdict="54 windows", seconds=3.2)
    warned = StageRecord(verdict="54 windows", seconds=3.2, warnings=("few places are free",))
    assert fit_table({"windows": warned, "contrast": stage}).rows == [
        ["windows", "54 windows. Warning: few places are free", "3 s"],
        ["contrast", "54 windows", "3 s"],
    ]


def test_what_is_printed_is_loaded_and_the_rest_is_not(
    folder: Path, tmp_path: Path, browser: Any
) -> None:
    one = FileResult(folder.parent / "raw" / "a_strong.mrc", folder / "a_strong.mrc", "done")
    write_summary(summary_path(tmp_path), [one] * 30, ABOUT, finished=True)
    written = write_report(find_source(tmp_path))
    browser.set_window_size(400, 300)  # a column of one
    browser.get(written.path.as_uri())
    loaded = "return [...document.querySelectorAll('.compare .after')].map((i) => !!i.src)"
    assert browser.execute_script(loaded)[:12] == [True] * 12
    assert browser.execute_script(loaded)[-1] is False
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    cards = browser.find_elements("css selector", ".card")
    assert [card.is_displayed() for card in cards] == [True] * 12 + [False] * (len(cards) - 12)
    assert "only the first 12" in browser.find_element("id", "paper").text
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})
    assert not browser.find_element("id", "paper").is_displayed()
