"""What a model costs, in figures that a suite asks for by name. One file is one measurement."""
