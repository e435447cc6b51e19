"""Read results where they are: W&B, MLflow, TensorBoard, Hugging Face's Trainer, Ray Tune, JSON lines.

Each reader gives one tidy table: a row per run (its settings and its last values), or a row per
evaluation. None of them needs torch or a network.
"""
