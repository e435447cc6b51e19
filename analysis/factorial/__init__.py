"""What moved the score: the main effect of every axis of a study, and where two axes interact."""
