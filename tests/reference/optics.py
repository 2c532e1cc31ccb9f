"""Contrast transfer written out from the textbook, float64, one frequency at a time."""

import math

H_EV_S = 4.135667696e-15
C_M_S = 299792458.0
REST_EV = 510998.95


def wavelength_a(voltage_kv):
    """De Broglie wavelength from energy and momentum: h c / sqrt(E (E + 2 m c^2))."""
    energy = 1e3 * voltage_kv
    return 1e10 * H_EV_S * C_M_S / math.sqrt(energy * (energy + 2 * REST_EV))


def ctf(
    ky,
    kx,
    *,
    defocus_um,
    astigmatism_um=0.0,
    astigmatism_angle_deg=0.0,
    voltage_kv=300.0,
    cs_mm=2.7,
    amplitude_contrast=0.1,
    phase_shift_deg=0.0,
    b_factor_a2=0.0,
    cc_mm=2.7,
    energy_spread_ev=0.0,
    semi_angle_mrad=0.0,
):
    """sin(chi) times the envelopes at the frequency (ky, kx) in 1/A.

    Defocus U (the larger) is seen along the angle from x towards y; U + V = 2 defocus and
    U - V = astigmatism. Envelopes as in docs of the simulator: temporal
    exp(-(pi lambda q^2 H / (4 sqrt(ln 2)))^2) with H = Cc dE / V, spatial
    exp(-pi^2 (Cs lambda^2 q^3 - df q)^2 alpha^2 / ln 2), and exp(-B q^2 / 4).
    """
    wave = wavelength_a(voltage_kv)
    q = math.hypot(ky, kx)
    u, v = (1e4 * (defocus_um + sign * astigmatism_um / 2) for sign in (1, -1))
    angle = math.radians(astigmatism_angle_deg)
    along = kx * math.cos(angle) + ky * math.sin(angle)
    across = -kx * math.sin(angle) + ky * math.cos(angle)
    df = (u * along**2 + v * across**2) / q**2 if q else 1e4 * defocus_um
    cs = 1e7 * cs_mm
    chi = math.pi * wave * df * q**2 - math.pi / 2 * cs * wave**3 * q**4
    chi += math.radians(phase_shift_deg) + math.asin(amplitude_contrast)
    spread = 1e7 * cc_mm * energy_spread_ev / (1e3 * voltage_kv)
    temporal = math.exp(-((math.pi * wave * q**2 * spread / (4 * math.sqrt(math.log(2)))) ** 2))
    slope = cs * wave**2 * q**3 - df * q
    spatial = math.exp(-(math.pi**2) * slope**2 * (1e-3 * semi_angle_mrad) ** 2 / math.log(2))
    return math.sin(chi) * temporal * spatial * math.exp(-b_factor_a2 * q**2 / 4)
