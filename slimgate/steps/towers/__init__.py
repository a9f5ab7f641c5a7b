"""Steps for models of several towers."""
