import pytest
import safetensors.torch
import torch

from nt2c.core.errors import InputError
from nt2c.io.weights import read_model_file, read_weights, write_weights


def test_tensors_and_metadata_come_back(tmp_path):
    base = torch.arange(6.0)
    tensors = {"a": base.view(2, 3).T, "b": base, "c": torch.tensor(2, dtype=torch.int64)}
    metadata = {"working_pixel_size_a": 4.0, "scores": [0.5, None], "name": "µ"}
    path = tmp_path / "model.safetensors"
    write_weights(path, tensors, metadata)
    read, read_metadata = read_weights(path)
    assert read_metadata == metadata
    assert read.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert read[name].dtype == tensor.dtype
        assert torch.equal(read[name], tensor)


def test_numbers_that_json_lacks_are_refused(tmp_path):
    with pytest.raises(ValueError, match="JSON"):
        write_weights(tmp_path / "m.safetensors", {}, {"loss": float("nan")})
    assert list(tmp_path.iterdir()) == []


def test_bad_files_are_named(tmp_path):
    with pytest.raises(InputError, match=r"absent.*no such file"):
        read_weights(tmp_path / "absent")
    (tmp_path / "text").write_text("not weights, only some text that is long enough")
    with pytest.raises(InputError, match=r"text.*not a readable safetensors"):
        read_weights(tmp_path / "text")
    safetensors.torch.save_file({"a": torch.ones(1)}, tmp_path / "foreign")
    with pytest.raises(InputError, match=r"foreign.*not written by nt2c"):
        read_weights(tmp_path / "foreign")


@pytest.mark.parametrize(
    "text",
    ["{not json", "[1]", "null", "3", "[" * 100_000 + "]" * 100_000, '{"a": 1' + "0" * 5000 + "}"],
)
def test_a_description_that_is_no_json_object_is_named(tmp_path, text):
    path = tmp_path / "model.safetensors"
    safetensors.torch.save_file({"a": torch.ones(1)}, path, metadata={"nt2c": text})
    with pytest.raises(InputError, match=r"model\.safetensors: the description"):
        read_weights(path)


def test_weights_that_are_not_finite_are_for_no_use(tmp_path):
    path = tmp_path / "model.safetensors"
    write_weights(path, {"a": torch.ones(3), "b": torch.tensor([1.0, torch.nan])}, {})
    read_weights(path)
    with pytest.raises(InputError, match=r"model\.safetensors: damaged: b holds NaN"):
        read_model_file(path)


def test_a_truncated_file_is_named(tmp_path):
    path = tmp_path / "model.safetensors"
    write_weights(path, {"a": torch.ones(100)}, {})
    path.write_bytes(path.read_bytes()[:-8])
    with pytest.raises(InputError, match=r"model\.safetensors"):
        read_weights(path)


def test_file_has_the_permissions_of_any_new_file(tmp_path):
    write_weights(tmp_path / "model.safetensors", {"a": torch.ones(2)}, {})
    (tmp_path / "other").touch()
    modes = [(tmp_path / name).stat().st_mode for name in ("model.safetensors", "other")]
    assert modes[0] == modes[1]
