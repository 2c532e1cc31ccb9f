"""The option `--device` of the commands that train."""

from nt2c.core.errors import SettingsError


def check_training_device(device: str) -> None:
    """Refuse what training cannot run on by its name; whether it is there is seen later.

    Raises
    ------
    SettingsError
        It is neither auto, cpu nor cuda.
    """
    if device not in ("auto", "cpu", "cuda"):
        raise SettingsError(f"--device {device}: use auto, cpu or cuda")
