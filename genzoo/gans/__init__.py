"""Generative adversarial networks."""

from genzoo.gans.conditional import ACGAN, ConditionalGAN
from genzoo.gans.dcgan import DCGAN
from genzoo.gans.gan import GAN
from genzoo.gans.penalized import DRAGAN, WGANGP

__all__ = ["ACGAN", "DCGAN", "DRAGAN", "GAN", "WGANGP", "ConditionalGAN"]
