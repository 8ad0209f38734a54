"""LTX-2.5: picture and stereo sound from one model, 24 frames a second."""
