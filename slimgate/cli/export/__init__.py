"""A judged model as a folder that loads without slimgate: `slimgate export`."""
