"""A batch in a process of its own, to be killed.

python -m tests.batch.batch RAW OUT MODEL [SHARD]
"""

import sys

from nt2c.batch.run import denoise_files
from nt2c.denoising.denoiser import load_model
from nt2c.denoising.settings import BatchOptions, DenoiseSettings, Shard
from nt2c.io.inputs import find_inputs

if __name__ == "__main__":
    raw, output, model, *shard = sys.argv[1:]
    denoise_files(
        find_inputs([raw]),
        output,
        load_model(model),
        DenoiseSettings(precision="fp32"),
        BatchOptions(device="cpu", shard=Shard.parse(shard[0]) if shard else None),
    )
