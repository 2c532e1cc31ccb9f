"""Settings of the simulator that cannot be drawn from are refused, each by its name."""

from typing import get_args

import pytest

from nt2c.core.errors import SettingsError
from nt2c.simulation.physics import DETECTORS
from nt2c.simulation.settings import Detector, SimulationSettings


def test_the_detectors_are_those_whose_curves_are_known():
    assert set(get_args(Detector)) == set(DETECTORS)


@pytest.mark.parametrize(
    ("section", "key", "value", "words"),
    [
        ("imaging", "detectors", ["K4"], "'K2', 'K3', 'Falcon3EC' or 'Falcon2'"),
        ("imaging", "detectors", [], "at least 1 item"),
        ("imaging", "defocus_um", [3.0, 1.0], "the lower limit comes first"),
        ("imaging", "defocus_um", [1.0, float("nan")], "finite number"),
        ("imaging", "defocus_um", [1.0], "is missing"),
        ("imaging", "astigmatism_um", [-0.1, 0.1], "greater than or equal to 0"),
        ("imaging", "amplitude_contrast", [0.1, 1.1], "less than or equal to 1"),
        ("imaging", "b_factor_a2", [0.0, 100.0], "greater than 0"),
        ("imaging", "dose_e_per_a2", [70.0, 20.0], "the lower limit comes first"),
        ("imaging", "dose_e_per_a2", [0.0, 20.0], "greater than 0"),
        ("imaging", "ice_thickness_a", [0.0, 20.0], "greater than 0"),
        ("imaging", "ice_gain", [-1.0, 1.0], "greater than or equal to 0"),
        ("imaging", "contrast_gain", [0.0, 1.0], "greater than 0"),
        ("imaging", "camera_pixel_size_a", [0.0, 1.0], "greater than 0"),
        ("imaging", "texture_power", [0.0, 1e5], "greater than 0"),
        ("imaging", "texture_length_a", [0.0, 1.0], "greater than 0"),
        ("imaging", "texture_exponent", [2.0, float("inf")], "finite number"),
        ("imaging", "voltage_kv", float("inf"), "finite number"),
        ("imaging", "energy_spread_ev", -1.0, "greater than or equal to 0"),
        ("specimen", "diameter_a", [0.0, 100.0], "greater than 0"),
        ("specimen", "coverage", [0.5, 1.5], "less than or equal to 1"),
    ],
)
def test_what_cannot_be_drawn_is_refused_by_name(section, key, value, words):
    with pytest.raises(SettingsError) as caught:
        SimulationSettings.parse({section: {key: value}}, "recipe.toml")
    message = str(caught.value)
    assert f"recipe.toml: '{section}.{key}" in message
    assert words in message


def test_equal_limits_and_overfocus_are_taken():
    given = {"defocus_um": [-1.0, -1.0], "ice_gain": [0, 0], "detectors": ["K3"]}
    settings = SimulationSettings.parse({"imaging": given}).imaging
    assert settings.defocus_um == (-1.0, -1.0)
    assert settings.detectors == ("K3",)
    assert settings.model_dump(mode="json")["ice_gain"] == [0.0, 0.0]
