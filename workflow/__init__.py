"""What the two engines need beside the stages."""
