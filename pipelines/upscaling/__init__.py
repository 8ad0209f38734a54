"""Upscaling with Real-ESRGAN: frames are decoded, upscaled and encoded one after the other."""
