"""Video files in: probing, decoding, cut signals. ffmpeg is called here (and by export) only."""
