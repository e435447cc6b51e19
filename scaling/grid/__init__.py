"""The YAML file that a study is described in."""
