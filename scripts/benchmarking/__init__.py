"""What the benchmarks of a train step share."""
