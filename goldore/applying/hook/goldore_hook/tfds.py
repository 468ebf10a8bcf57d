"""TensorFlow Datasets, read in the order in which they are stored."""


def kept(hooks, builder, read, split, fields):
    """What `as_dataset` gives, of the kept samples where an index is about it.

    Args:
        hooks: the hooks at work.
        builder: of TensorFlow Datasets.
        read: its `as_dataset`.
        split: as of `as_dataset`.
        fields: the other arguments of `as_dataset`.
    """
    splits = builder.info.splits
    if split is None:
        return {each: kept(hooks, builder, read, each, fields) for each in splits}
    if isinstance(split, (list, tuple)):
        return type(split)([kept(hooks, builder, read, each, fields) for each in split])
    name = "tfds:%s" % builder.name
    size = splits[split].num_examples if isinstance(split, str) else -1
    for hook in hooks:
        labels = list(_labels(builder, read, split)) if size == hook.index.size else []
        if any(map(hook.index.fits, labels)):
            return _cut(hook, name, builder, read, split, dict(fields))
        hook.see(name, "" if size >= 0 else "its split is no name", size, next(iter(labels), None))
    return read(builder, split=split, **fields)


def _cut(hook, name, builder, read, split, fields):
    if fields.get("shuffle_files"):
        hook.refuse(name, "it is read with shuffle_files, so that no position means anything")
    import tensorflow as tf

    keep = hook.index.keep
    batch = fields.pop("batch_size", None)
    chosen = set(keep)
    mask = tf.constant([each in chosen for each in range(hook.index.size)])
    rows = read(builder, split=split, **fields).enumerate()
    rows = rows.filter(lambda at, _: tf.gather(mask, at)).map(lambda _, row: row)
    rows = rows.apply(tf.data.experimental.assert_cardinality(len(keep)))
    hook.applied(name)
    if batch == -1:
        return next(iter(rows.batch(len(keep))))
    return rows if batch is None else rows.batch(batch)


def _labels(builder, read, split):
    """What may be the labels of the samples, in the order of reading; no image is decoded for it."""
    import tensorflow_datasets as tfds

    features = builder.info.features
    skip = {
        name: tfds.decode.SkipDecoding()
        for name in features
        if isinstance(features[name], tfds.features.Image)
    }
    rows = list(tfds.as_numpy(read(builder, split=split, decoders=skip)))
    for name, part in rows[0].items() if rows else ():
        if getattr(part, "shape", None) == () and "int" in str(getattr(part, "dtype", "")):
            yield [int(row[name]) for row in rows]
