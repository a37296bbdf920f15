"""Generative adversarial networks."""

from genzoo.gans.conditional_gan import ACGAN, ConditionalGAN
from genzoo.gans.cyclegan import CycleGAN
from genzoo.gans.dcgan import DCGAN
from genzoo.gans.gan import GAN
from genzoo.gans.penalized import DRAGAN, WGANGP
from genzoo.gans.pix2pix import Pix2Pix

__all__ = [
    "ACGAN",
    "DCGAN",
    "DRAGAN",
    "GAN",
    "WGANGP",
    "ConditionalGAN",
    "CycleGAN",
    "Pix2Pix",
]
