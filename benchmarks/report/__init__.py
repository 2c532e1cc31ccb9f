"""Tables and pictures of the documentation, made from the records of the benchmarks."""
