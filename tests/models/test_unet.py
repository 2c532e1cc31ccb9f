"""The network keeps what it declares: stride, reach, and the same result wherever a pixel lies."""

import pytest
import torch
from torch import Tensor

from nt2c.core.errors import InputError
from nt2c.imaging.noise_spectrum import CONDITION
from nt2c.models.denoiser import DenoiserModel
from nt2c.models.unet import UNet, UNetSettings

SMALL = UNetSettings(widths=(4, 6, 8), blocks=(1, 1, 2))


def random_network(settings: UNetSettings = SMALL) -> UNet:
    """A network whose every layer matters (the zero-initialised ones are filled)."""
    with torch.random.fork_rng():
        torch.manual_seed(3)
        network = UNet(settings)
        for parameter in network.parameters():
            torch.nn.init.normal_(parameter, std=0.3)
    return network.eval()


def inputs(*shape: int, seed: int, dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor]:
    """Images (batch, 2, y, x) and conditions."""
    generator = torch.Generator().manual_seed(seed)
    images = torch.randn(shape[0], 2, *shape[1:], generator=generator, dtype=dtype)
    return images, torch.randn(shape[0], CONDITION, generator=generator, dtype=dtype)


def test_untrained_network_returns_zero() -> None:
    assert torch.count_nonzero(UNet(SMALL)(*inputs(2, 32, 48, seed=0))) == 0


def test_untrained_network_is_not_moved_by_the_condition() -> None:
    network = UNet(SMALL)
    torch.nn.init.normal_(network.head.weight, generator=torch.Generator().manual_seed(1))
    image, condition = inputs(1, 32, 32, seed=0)
    with torch.no_grad():
        assert torch.equal(network(image, condition), network(image, 0 * condition))


def test_both_images_and_the_condition_matter() -> None:
    network = random_network()
    image, condition = inputs(1, 32, 32, seed=7)
    image.requires_grad_()
    condition.requires_grad_()
    network(image, condition).square().sum().backward()
    assert image.grad is not None
    assert condition.grad is not None
    assert (image.grad[0].abs().amax((-2, -1)) > 0).all()
    assert (condition.grad != 0).all()


@pytest.mark.parametrize("settings", [SMALL, UNetSettings(widths=(4, 4), blocks=(2, 1))])
def test_receptive_field_holds_all_that_matters_and_is_not_much_wider(
    settings: UNetSettings,
) -> None:
    network = random_network(settings).double()
    reach, stride = network.receptive_field_px, network.stride
    size = 2 * (reach + 4 * stride)
    widest = 0
    for offset in range(stride):  # the reach depends on the place within a cell of the stride
        image, condition = inputs(1, size, size, seed=1, dtype=torch.float64)
        image.requires_grad_()
        centre = size // 2 + offset
        network(image, condition)[0, 0, centre, centre].backward()
        assert image.grad is not None
        for gradient in image.grad[0]:
            rows = gradient.abs().amax(1).nonzero().flatten()
            widest = max(widest, centre - int(rows[0]), int(rows[-1]) - centre)
    assert widest <= reach < widest + 3 * stride


def test_shift_by_the_stride_shifts_the_result() -> None:
    network = random_network()
    stride, reach = network.stride, network.receptive_field_px
    size = 2 * reach + 8 * stride
    image, condition = inputs(1, size, size, seed=2)
    shifted = image.roll(stride, -1)
    with torch.no_grad():
        a, b = network(image, condition), network(shifted, condition)
    inner = slice(reach + stride, size - reach - stride)
    torch.testing.assert_close(a.roll(stride, -1)[..., inner, inner], b[..., inner, inner])


def test_batch_items_do_not_influence_each_other() -> None:
    network = random_network()
    image, condition = inputs(2, 32, 32, seed=4)
    factors = torch.tensor([1.0, 50.0])
    louder = image * factors[:, None, None, None], condition * factors[:, None]
    with torch.no_grad():
        torch.testing.assert_close(network(image, condition)[0], network(*louder)[0])


def test_model_survives_its_file_format() -> None:
    network = random_network().requires_grad_(False)
    network.load_state_dict({k: v.half().float() for k, v in network.state_dict().items()})
    model = DenoiserModel(network, 4.0, {"name": "tiny"})
    again = DenoiserModel.from_tensors(*model.to_tensors(), where="tiny.safetensors")
    image, condition = inputs(1, 32, 32, seed=5)
    assert torch.equal(network(image, condition), again.network(image, condition))
    assert again.pixel_size_a == 4.0
    assert again.metadata["receptive_field_px"] == network.receptive_field_px


@pytest.mark.parametrize(
    ("change", "message"),
    [({"kind": "critic"}, "not a denoiser"), ({"format": 99}, "fit a new model")],
)
def test_other_files_are_refused_by_name(change: dict[str, object], message: str) -> None:
    tensors, metadata = DenoiserModel(random_network(), 4.0, {"name": "x"}).to_tensors()
    with pytest.raises(InputError, match=f"x.safetensors.*{message}"):
        DenoiserModel.from_tensors(tensors, metadata | change, "x.safetensors")
    with pytest.raises(InputError, match="do not fit"):
        DenoiserModel.from_tensors(dict(list(tensors.items())[1:]), metadata, "x.safetensors")
