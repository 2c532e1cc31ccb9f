"""What every user of denoised micrographs is told, wherever results appear."""

EXTRACT_FROM_RAW = (
    "Denoised micrographs are for viewing, curation and picking; "
    "extract particles from the raw micrographs."
)
