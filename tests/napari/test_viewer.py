"""The panels in napari itself, without a window; where napari is installed."""

import os
import time
import warnings

import numpy as np
import pytest

from tests.io.make import write_mrc

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
with warnings.catch_warnings():  # theirs
    warnings.simplefilter("ignore")
    components = pytest.importorskip("napari.components")
    widgets = pytest.importorskip("qtpy.QtWidgets")
pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(scope="module")
def application():
    return widgets.QApplication.instance() or widgets.QApplication([])


@pytest.fixture
def viewer(application):
    return components.ViewerModel()


def specimen(shape=(240, 220)) -> np.ndarray:
    return np.random.default_rng(0).normal(100, 10, shape).astype(np.float32)


@pytest.fixture
def opened(viewer, tmp_path):
    from nt2c.napari.files import read_images

    path = str(write_mrc(tmp_path / "a.mrc", specimen(), 4.0))
    data, attributes, _ = read_images(path)[0]
    return viewer.add_image(data, **attributes)


def press(panel):
    panel.button.changed.emit(True)
    end = time.monotonic() + 120
    while not panel.button.enabled and time.monotonic() < end:
        widgets.QApplication.processEvents()
    assert panel.button.enabled


def test_denoise(viewer, opened):
    from nt2c import denoise
    from nt2c.napari.widgets import DenoisePanel

    opened.translate = (10, 20)
    panel = DenoisePanel(viewer)
    assert panel.layer.value is opened
    assert panel.size.value == pytest.approx(4.0)
    assert panel.source.value == "from the scale of the layer"
    press(panel)
    added = viewer.layers["a (nt2c)"]
    np.testing.assert_array_equal(added.data, denoise(opened.data, 4.0))
    np.testing.assert_array_equal(added.scale, opened.scale)
    np.testing.assert_array_equal(added.translate, opened.translate)
    assert added.units == opened.units


def test_a_pixel_size_that_is_not_known_is_asked_for(viewer):
    from nt2c.napari.widgets import DenoisePanel

    viewer.add_image(specimen((96, 96)), name="b")
    panel = DenoisePanel(viewer)
    assert "not known" in panel.source.value
    press(panel)
    assert len(viewer.layers) == 1
    assert "enter it in angstrom" in panel.status.value
    panel.size.value = 4.0
    press(panel)
    assert viewer.layers[-1].name == "b (nt2c)"
    assert "4 A" in panel.status.value


def test_windows(viewer, opened):
    from nt2c.napari.widgets import WindowsPanel

    panel = WindowsPanel(viewer)
    press(panel)
    added = viewer.layers["a noise windows"]
    assert set(added.shape_type) == {"rectangle"}
    assert len(added.data) == len(added.features["evidence"]) >= 8
    np.testing.assert_array_equal(added.scale, opened.scale)
    assert f"{len(added.data)} windows" in panel.status.value


def test_layers_that_come_and_go(viewer):
    from nt2c.napari.widgets import DenoisePanel

    panel = DenoisePanel(viewer)
    press(panel)
    assert "open a micrograph" in panel.status.value
    first = viewer.add_image(specimen((96, 96)), name="first")
    assert panel.layer.value is first
    viewer.add_shapes()
    assert panel.layer.choices == (None, first)
    viewer.layers.remove(first)
    assert panel.layer.value is None
