"""Everything that can break, at every moment of a generation's life."""
