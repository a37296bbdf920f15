"""Variational autoencoders."""

from genzoo.vaes.cnn import VAECNN
from genzoo.vaes.flow_vae import FlowVAE
from genzoo.vaes.iwae import IWAE
from genzoo.vaes.two_stage import TwoStageVAE
from genzoo.vaes.vae import VAE

__all__ = ["IWAE", "VAE", "VAECNN", "FlowVAE", "TwoStageVAE"]
