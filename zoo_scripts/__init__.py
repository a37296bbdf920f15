"""The program `genzoo`: each module is one command, and a script of its own."""
