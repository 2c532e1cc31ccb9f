"""How fast nt2c is, and how much memory it takes, beside Topaz-Denoise."""
