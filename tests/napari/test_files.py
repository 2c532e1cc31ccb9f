"""The plugin of napari where napari is not installed: files, work, and what it declares."""

import inspect
import tomllib
from importlib import import_module, resources
from pathlib import Path

import mrcfile
import numpy as np
import pytest
import tifffile

import nt2c
from nt2c.core.errors import InputError, SettingsError
from nt2c.napari.files import get_reader, grey_images, length_a, write_image
from nt2c.napari.work import denoise_images, noise_frames
from nt2c.noise.extraction import ExtractionSettings
from tests.batch.make import noise
from tests.io.make import image, write_mrc

ROOT = Path(nt2c.__file__).resolve().parents[2]
MANIFEST = resources.files("nt2c.napari") / "napari.yaml"
ANGSTROM = ("angstrom", "angstrom")


def read(path):
    return get_reader(str(path))(str(path))


def test_a_micrograph_comes_with_its_pixel_size(tmp_path):
    values = image((30, 40))
    [(data, attributes, kind)] = read(write_mrc(tmp_path / "a.mrc", values, 1.25))
    assert kind == "image"
    np.testing.assert_array_equal(data, values)
    assert attributes["name"] == "a"
    assert attributes["scale"] == pytest.approx((1.25, 1.25))
    assert attributes["units"] == ANGSTROM
    low, high = attributes["contrast_limits"]
    assert low < np.median(values) < high


def test_a_stack(tmp_path):
    values = image((3, 30, 40))
    [(data, attributes, _)] = read(write_mrc(tmp_path / "a.mrcs", values, 1.25))
    np.testing.assert_array_equal(data, values)
    assert attributes["scale"] == pytest.approx((1, 1.25, 1.25))
    assert attributes["units"] == ("pixel", *ANGSTROM)


def test_without_a_pixel_size(tmp_path):
    [(_, attributes, _)] = read(write_mrc(tmp_path / "a.mrc", image((30, 40)), None))
    assert {"scale", "units"}.isdisjoint(attributes)


def test_several_files_are_several_layers(tmp_path):
    paths = [str(write_mrc(tmp_path / name, image())) for name in ("a.mrc", "b.mrc")]
    assert [layer[1]["name"] for layer in get_reader(paths)(paths)] == ["a", "b"]


def test_tiff_is_left_to_others_unless_its_pixel_size_is_known(tmp_path):
    tifffile.imwrite(tmp_path / "plain.tif", image())
    assert get_reader(str(tmp_path / "plain.tif")) is None
    (tmp_path / "bad.tif").write_bytes(b"no TIFF file")
    assert get_reader(str(tmp_path / "bad.tif")) is None
    size = {"resolution": (1e8 / 1.5, 1e8 / 1.5), "resolutionunit": 3}
    tifffile.imwrite(tmp_path / "known.tif", image(), **size)
    [(_, attributes, _)] = read(tmp_path / "known.tif")
    assert attributes["scale"] == pytest.approx((1.5, 1.5))


def test_bad_files_are_named(tmp_path):
    (tmp_path / "a.mrc").write_bytes(b"no MRC file")
    with pytest.raises(InputError, match=r"a\.mrc"):
        read(tmp_path / "a.mrc")


@pytest.mark.parametrize(
    ("scale", "units", "size_a"),
    [
        ((1.1, 1.1), ANGSTROM, 1.1),
        ((7.0, 0.11, 0.11), ("pixel", "nm", "nanometer"), 1.1),
        ((1.1, 1.1), ("pixel", "pixel"), None),
        ((1.1, 1.1), None, None),
        ((1.1, 2.2), ANGSTROM, None),
        ((1.0, 1.0), ("second", "second"), None),
    ],
)
def test_pixel_size_of_a_layer(scale, units, size_a):
    assert length_a(scale, units) == (None if size_a is None else pytest.approx(size_a))


def test_a_layer_is_saved_with_its_pixel_size(tmp_path):
    path, values = str(tmp_path / "a.mrc"), noise()
    assert write_image(path, values, {"scale": (1.5, 1.5), "units": ANGSTROM}) == [path]
    with mrcfile.open(path) as mrc:
        np.testing.assert_array_equal(mrc.data, values)
        assert mrc.voxel_size.x == 1.5
    with pytest.raises(InputError, match="pixel size"):
        write_image(path, values, {"scale": (1, 1), "units": ("pixel", "pixel")})


def test_pictures_in_colour_are_refused():
    with pytest.raises(InputError, match="grey-scale"):
        grey_images(np.zeros((8, 8, 3)), rgb=True)
    with pytest.raises(InputError, match="grey-scale"):
        grey_images(np.zeros((2, 2, 8, 8)))


def test_denoise():
    images = noise((2, 48, 56))
    result = denoise_images(images, 4.0, "general")
    for one, raw in zip(result, images, strict=True):
        np.testing.assert_array_equal(one, nt2c.denoise(raw, 4.0, "general"))
    with pytest.raises(SettingsError, match="pixel size"):
        denoise_images(images, 0.0, "general")


def test_windows_lie_in_the_image_where_extraction_finds_them():
    raw = noise((240, 220))
    frames = noise_frames(raw, 4.0, "general")
    assert len(frames.corners) == len(frames.evidence) >= 8
    sides = frames.corners.max(1) - frames.corners.min(1)
    np.testing.assert_allclose(sides, frames.side_a / 4.0, rtol=0.02)
    border = ExtractionSettings().border_a / 4.0
    assert frames.corners.min() > border - 2
    assert (frames.corners.max((0, 1)) < np.array(raw.shape) - border + 2).all()
    assert frames.evidence.max() <= ExtractionSettings().levels[-1][0]
    with pytest.raises(InputError, match="no places without particles"):
        noise_frames(noise((60, 60)), 4.0, "general")


def test_the_manifest_is_declared_and_its_commands_exist():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["entry-points"]["napari.manifest"] == {"nt2c": "nt2c.napari:napari.yaml"}
    names = [
        line.split()[-1] for line in MANIFEST.read_text().splitlines() if "python_name" in line
    ]
    assert len(names) == 4
    for name in names:
        module, _, function = name.partition(":")
        found = getattr(import_module(module), function)
        if "widgets" in module:  # napari looks for this name
            assert list(inspect.signature(found.__init__).parameters)[1:] == ["napari_viewer"]
        assert callable(found)


@pytest.mark.filterwarnings("ignore")  # theirs
def test_the_manifest_is_valid():
    npe2 = pytest.importorskip("npe2")
    manifest = npe2.PluginManifest.from_file(str(MANIFEST))
    manifest.validate_imports()
    assert manifest.name == "nt2c"
