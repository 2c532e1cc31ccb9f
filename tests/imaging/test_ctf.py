"""Contrast transfer against torch-ctf and against the textbook in float64.

Convention (imaging/ctf.py): +amplitude contrast at zero frequency, underfocus positive. torch-ctf
returns -sin of a phase of the opposite sign, which is the same number; its astigmatism is half the
difference of the two defoci, its angle the same.
"""

import math

import numpy as np
import pytest
import torch

from nt2c.imaging.ctf import Optics, ctf, interaction_rad_per_v_a, wavelength_a
from tests.reference import optics as reference

SHAPE = (46, 40)

CASES = {
    "defocus": {"defocus_um": 1.7},
    "overfocus": {"defocus_um": -0.8},
    "astigmatism": {"defocus_um": 1.2, "astigmatism_um": 0.5, "astigmatism_angle_deg": 30.0},
    "astigmatism_along_y": {
        "defocus_um": 1.2, "astigmatism_um": 0.5, "astigmatism_angle_deg": 90.0,
    },
    "no_cs": {"defocus_um": 2.0, "cs_mm": 0.0},
    "cs_200kv": {"defocus_um": 0.4, "cs_mm": 4.1, "voltage_kv": 200.0},
    "amplitude": {"defocus_um": 1.0, "amplitude_contrast": 0.3},
    "phase_plate": {"defocus_um": 0.6, "phase_shift_deg": 75.0, "voltage_kv": 120.0},
}  # fmt: skip
PLAIN = {
    "astigmatism_um": 0.0, "astigmatism_angle_deg": 0.0, "voltage_kv": 300.0, "cs_mm": 2.7,
    "amplitude_contrast": 0.1, "phase_shift_deg": 0.0,
}  # fmt: skip
ENVELOPES = {
    "b_factor": {"defocus_um": 1.0, "b_factor_a2": 120.0},
    "temporal": {"defocus_um": 1.0, "energy_spread_ev": 4.0},
    "spatial": {"defocus_um": 2.0, "semi_angle_mrad": 0.2},
    "all": {
        "defocus_um": 1.5, "astigmatism_um": 0.3, "astigmatism_angle_deg": 70.0, "cs_mm": 2.0,
        "amplitude_contrast": 0.07, "phase_shift_deg": 20.0, "b_factor_a2": 80.0,
        "energy_spread_ev": 0.9, "cc_mm": 2.1, "semi_angle_mrad": 0.05,
    },
}  # fmt: skip


def torch_ctf_float64(torch_ctf, pixel_size_a, given):
    """The formulas of torch-ctf evaluated in float64; its front end rounds to float32."""

    def number(value):
        return torch.tensor(value, dtype=torch.float64)

    ky = torch.fft.fftfreq(SHAPE[0], pixel_size_a, dtype=torch.float64)[:, None]
    kx = torch.fft.rfftfreq(SHAPE[1], pixel_size_a, dtype=torch.float64)
    grid = torch.stack(torch.broadcast_tensors(ky, kx), dim=-1)
    defocus = torch_ctf.apply_astigmatism_to_defocus(
        number([[given["defocus_um"]]]),
        number(given["astigmatism_um"] / 2),
        number(given["astigmatism_angle_deg"]),
        grid * 1e6,  # only its direction counts; it is divided by its norm plus 1e-7
        grid.square().sum(dim=-1) * 1e12,
    )
    phase = torch_ctf.calculate_total_phase_shift(
        defocus,
        number(given["voltage_kv"]),
        number(given["cs_mm"]),
        number(given["phase_shift_deg"]),
        number(given["amplitude_contrast"]),
        grid.square().sum(dim=-1),
    )
    return -torch.sin(phase)


@pytest.mark.parametrize("pixel_size_a", [2.0, 4.0])
@pytest.mark.parametrize("name", CASES)
def test_equals_torch_ctf(name, pixel_size_a):
    torch_ctf = pytest.importorskip("torch_ctf")
    given = PLAIN | CASES[name]
    got = ctf(SHAPE, pixel_size_a, Optics(**given))
    assert got.dtype == torch.float32
    expected = torch_ctf_float64(torch_ctf, pixel_size_a, given)
    assert (got - expected).abs().max() < 1e-5
    front_end = torch_ctf.calculate_ctf_2d(
        defocus=given["defocus_um"],
        astigmatism=given["astigmatism_um"] / 2,
        astigmatism_angle=given["astigmatism_angle_deg"],
        voltage=given["voltage_kv"],
        spherical_aberration=given["cs_mm"],
        amplitude_contrast=given["amplitude_contrast"],
        phase_shift=given["phase_shift_deg"],
        pixel_size=pixel_size_a,
        image_shape=SHAPE,
        rfft=True,
        fftshift=False,
    )
    assert (got - front_end).abs().max() < 1e-4  # what float32 leaves of it


@pytest.mark.parametrize("pixel_size_a", [1.0, 4.0])
@pytest.mark.parametrize("name", CASES | ENVELOPES)
def test_equals_the_textbook(name, pixel_size_a):
    given = (CASES | ENVELOPES)[name]
    expected = [
        [reference.ctf(ky, kx, **given) for kx in np.fft.rfftfreq(SHAPE[1], pixel_size_a)]
        for ky in np.fft.fftfreq(SHAPE[0], pixel_size_a)
    ]
    got = ctf(SHAPE, pixel_size_a, Optics(**given)).numpy()
    # The wavelength's constants have 8 digits, and the phase reaches 1000 rad at 1 A.
    assert np.abs(got - np.array(expected)).max() < 1e-5


@pytest.mark.parametrize("amplitude", [0.0, 0.07, 0.1, 1.0])
def test_value_at_zero_frequency(amplitude):
    optics = Optics(defocus_um=1.5, amplitude_contrast=amplitude, b_factor_a2=100.0)
    assert float(ctf(SHAPE, 2.0, optics)[0, 0]) == pytest.approx(amplitude, abs=1e-6)


def test_first_zero_without_amplitude_contrast():
    # Without Cs the phase is pi lambda df k^2: the first zero lies at k = 1 / sqrt(lambda df).
    optics = Optics(defocus_um=2.0, cs_mm=0.0, amplitude_contrast=0.0)
    pixel_size_a, n = 2.0, 4096
    row = ctf((2, n), pixel_size_a, optics)[0]
    crossing = int((row[1:-1] * row[2:] < 0).nonzero()[0]) + 1
    expected = 1 / math.sqrt(wavelength_a(300.0) * 2e4)
    assert crossing / (n * pixel_size_a) == pytest.approx(expected, abs=1 / (n * pixel_size_a))
    assert bool((row[1 : crossing - 1] > 0).all())


def test_protein_is_dark_in_underfocus():
    potential = torch.exp(-((torch.arange(64) - 32.0) ** 2) / 50)
    potential = potential[:, None] * potential
    transfer = -2 * ctf((64, 64), 4.0, Optics(defocus_um=1.5))
    image = torch.fft.irfft2(torch.fft.rfft2(potential) * transfer, s=(64, 64))
    assert float(image[32, 32]) < 0


def test_batches_equal_single_ctfs():
    defocus = torch.tensor([0.5, 1.5, 2.5])
    angle = torch.tensor([0.0, 45.0, 100.0])
    batch = ctf(SHAPE, 3.0, Optics(defocus, 0.2, angle, b_factor_a2=50.0))
    assert batch.shape == (3, SHAPE[0], SHAPE[1] // 2 + 1)
    for i in range(3):
        single = ctf(SHAPE, 3.0, Optics(float(defocus[i]), 0.2, float(angle[i]), b_factor_a2=50.0))
        assert (batch[i] - single).abs().max() < 1e-5


@pytest.mark.parametrize("voltage_kv", [80.0, 120.0, 200.0, 300.0])
def test_wavelength_and_interaction(voltage_kv):
    wave = reference.wavelength_a(voltage_kv)
    assert wavelength_a(voltage_kv) == pytest.approx(wave, rel=1e-6)
    # sigma = 2 pi / (lambda V) (mc^2 + eV) / (2 mc^2 + eV), Kirkland 2010, eq. 5.6
    energy, rest = 1e3 * voltage_kv, reference.REST_EV
    sigma = 2 * math.pi / (wave * energy) * (rest + energy) / (2 * rest + energy)
    assert interaction_rad_per_v_a(voltage_kv) == pytest.approx(sigma, rel=1e-5)
