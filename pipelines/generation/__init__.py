"""Wan chunks with diffusers: encode text, free the encoder, denoise, decode, check."""
