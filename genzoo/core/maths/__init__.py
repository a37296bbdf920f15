"""Random numbers by rows, roots and their derivatives."""
