"""Variational autoencoders."""

from genzoo.vaes.vae import VAE

__all__ = ["VAE"]
