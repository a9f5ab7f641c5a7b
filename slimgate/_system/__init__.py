"""slimgate's access to the operating system: files, processes, signals, threads, digests, text for
terminals.
"""
