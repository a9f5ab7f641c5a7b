"""Steps that replace a matrix by smaller ones or drop its rows. One file for each step."""
