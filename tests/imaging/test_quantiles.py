"""Quantiles are those of torch, bit by bit."""

import pytest
import torch

from nt2c.imaging.quantiles import ascending, quantiles

SHARES = (0.0, 0.001, 0.05, 0.5, 0.9, 0.99, 1.0)


@pytest.mark.parametrize("count", [1, 2, 7, 1000, 100_003])
@pytest.mark.parametrize("whole", [False, True])
def test_quantiles_equal_those_of_torch(count: int, whole: bool) -> None:
    values = 30 * torch.randn(count, generator=torch.Generator().manual_seed(count)) + 7
    values = values.round() if whole else values
    before = values.clone()
    expected = torch.quantile(values, torch.tensor(SHARES)).tolist()
    assert quantiles(values, *SHARES).tolist() == expected
    assert torch.equal(values, before)
    assert torch.equal(ascending(values[::2]), values[::2].sort().values)


def test_more_values_than_torch_takes() -> None:
    values = torch.arange(16_777_300, dtype=torch.float32)
    with pytest.raises(RuntimeError, match="too large"):
        torch.quantile(values, 0.5)
    assert quantiles(values, 0.5).tolist() == [8_388_650.0]


def test_quantiles_of_several_rows_are_those_of_torch() -> None:
    values = torch.randn(2, 1003, 5, generator=torch.Generator().manual_seed(3))
    expected = torch.quantile(values, torch.tensor(SHARES), dim=1)
    assert torch.equal(quantiles(values.transpose(1, 2), *SHARES), expected)
