"""A made RELION project: micrographs with names of EPU in sub-folders, two optics groups."""

from pathlib import Path

from tests.batch.make import micrograph

STAR = "CtfFind/job003/micrographs_ctf.star"
_HEAD = """
# version 50001

data_optics

loop_ 
_rlnOpticsGroupName #1 
_rlnOpticsGroup #2 
_rlnMicrographOriginalPixelSize #3 
_rlnVoltage #4 
_rlnSphericalAberration #5 
_rlnAmplitudeContrast #6 
_rlnMicrographPixelSize #7 
opticsGroup1            1     1.000000   300.000000     2.700000     0.100000     2.000000 
opticsGroup2            2     1.500000   300.000000     2.700000     0.100000     3.000000 
 

# version 50001

data_micrographs

loop_ 
_rlnMicrographName #1 
_rlnOpticsGroup #2 
_rlnCtfImage #3 
_rlnDefocusU #4 
_rlnDefocusV #5 
_rlnCtfAstigmatism #6 
_rlnDefocusAngle #7 
_rlnCtfMaxResolution #8 
_rlnNt2cNote #9 
"""  # noqa: W291, W293


def names(count: int) -> list[str]:
    """Return names of micrographs in the project, as RELION 5 and EPU make them."""
    return [
        f"MotionCorr/job002/data/Images-Disc{1 + n % 2}/GridSquare_2333318{n % 3}/Data/"
        f"FoilHole_{23379462 + n}_Data_23378980_4_20240423_{193203 + n}_fractions.mrc"
        for n in range(count)
    ]


def make_project(root: Path, count: int) -> list[str]:
    """Make the project with `count` micrographs; return their names."""
    rows = []
    for n, name in enumerate(names(count)):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        group = 1 + n % 2
        micrograph(path, seed=n, pixel_size_a=1.0 + group)
        image = name.replace("MotionCorr/job002", "CtfFind/job003").replace(".mrc", "_PS.ctf:mrc")
        rows.append(
            f"{name}            {group} {image} {10123.456789 + n:12.6f} {9e3 + n:12.6e} "
            f"  -0.50    {n:3d}.0  4.{n:06d} 'kept as it is' "
        )
    star = root / STAR
    star.parent.mkdir(parents=True)
    star.write_text(_HEAD + "\n".join(rows) + "\n \n", newline="\n")
    return names(count)
