"""Predictions for image sets that outgrow one process: `hoi-d2 predict`.

`plan` lists the images once and cuts the list into shards, `loader` decodes in worker processes,
`run` is what each process does. A shard is one Parquet file, there completely or not at all.
"""
