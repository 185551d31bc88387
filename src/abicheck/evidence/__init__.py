"""What a file's bytes tell beyond its tables: linked-in runtimes, versions in banners, C-APIs it was compiled against.

Readers here take a byte source and give typed facts; they judge nothing. They look only at what they are pointed to:
a scan is one pass over the bytes, in pieces, and costs about as much as reading them.
"""
