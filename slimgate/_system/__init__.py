"""What slimgate asks of the operating system: files, processes, signals, threads, digests, text for
terminals.
"""
