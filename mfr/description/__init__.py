"""Tables of latents: activity, contexts, and nearest latents in other SAEs."""
