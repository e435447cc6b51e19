"""Whether an arm has an effect, how large it is, and how sure that is."""
