"""Videos, sound and pictures. ffmpeg codes frames; PyAV inspects files and codes FLAC."""
