"""What the node sends back: a structured report and a heatmap, made of what was found in a study's images.

`build.build_results` makes the objects and `encoding.encode` their bytes. Nothing here opens a file, a socket or a
database; equal input gives equal bytes, so that a result may be built and sent twice and is one object.
"""
