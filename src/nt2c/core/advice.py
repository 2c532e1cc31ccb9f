"""What every user of denoised micrographs is told, wherever results appear."""

EXTRACT_FROM_RAW = (
    "Denoised micrographs are for viewing, curation and picking; "
    "extract particles from the raw micrographs."
)

GIVE_PIXEL_SIZE = "--pixel-size (pixel_size in a RELION job, pixel_size_a in Python)"
"""Where a pixel size is given that the file has not, or not right."""
