"""What a suite file says, read and checked.

    tables.py        the tables of the file and their keys
    reader.py        makes a Suite of the tables: loads plug-ins, checks names and options
    budgets.py       the tables of [budgets]
    checks.py        whether models, rows, workloads and budgets fit each other
    step_checks.py   whether steps fit each other and this environment
    errors.py        the text of an error about a key or its value

Commands and the pytest plug-in call `load_suite` (reader.py).
"""
