"""The commands of the command line; only this package and ``footage.__main__`` know the settings.

One file a command, or a group of commands, with its options: audit, cameras, clip, demo, doctor, export, forget, index,
model, search, serve, status, store, token, watch. None imports another one, and each imports what is slow to load
(numpy, av, lancedb, openvino, aiohttp, pydantic) inside its functions, so that ``--help`` starts at once.

What commands share: ``options`` and ``errors`` (light to import), ``composition`` and ``backend`` (open an index and
what searches it), ``output`` (tables, times and images in the terminal), ``indexing``, ``answering``, ``benchmark``
(index, search and measure, with output), and ``service``, ``worker`` and ``shared_cameras`` (what ``serve`` runs).
"""
