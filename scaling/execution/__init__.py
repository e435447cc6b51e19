"""Running the stages of a plan as Ray Tune trials."""
