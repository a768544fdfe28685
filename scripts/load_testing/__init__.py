"""What scripts/load_test.py and scripts/soak.py share."""
