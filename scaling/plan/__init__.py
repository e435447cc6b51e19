"""What a grid needs: every stage once, with its cost."""
