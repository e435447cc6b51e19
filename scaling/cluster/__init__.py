"""The Ray cluster: joining it, its machines and their capacity."""
