"""From a data set on disk to augmented samples: decathlon (what there is), cases (one in memory), spatial
and resampling (one resampling), sampling (which part), feeding (ahead of the training step).
"""
