"""Programs of this repository: simulations, measurements, peers, the docs site, attacks."""
