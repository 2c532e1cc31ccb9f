"""How good nt2c is beside other methods, on real and simulated micrographs."""
