"""What a stage can learn, one file per objective."""
