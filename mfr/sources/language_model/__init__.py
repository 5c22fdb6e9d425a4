"""The source `language_model`: activations of a language model at a hook point."""
