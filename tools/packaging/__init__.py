"""Programs that check how slimgate installs."""
