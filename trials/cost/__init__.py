"""What a stage costs: FLOPs, images per second, GPU memory."""
