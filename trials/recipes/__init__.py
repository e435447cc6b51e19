"""How a stage is trained: fields, named recipes, lengths, schedules."""
