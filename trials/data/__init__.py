"""The images of a stage: sources, stores, subsets and augmentation."""
