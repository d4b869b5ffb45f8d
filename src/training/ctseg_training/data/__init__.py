"""From a data set on disk to augmented samples: `decathlon` lists the cases, `cases` reads one, `spatial` and
`resampling` transform it, `sampling` chooses the part, `feeding` prepares batches ahead of the training step.
"""
