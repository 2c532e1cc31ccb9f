"""How good a denoised micrograph is: metrics on arrays, see docs/metrics.md."""
