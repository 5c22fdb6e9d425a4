"""Denoising of EEG windows by SAEs and by linear references."""
