"""The work of a run given to other machines: which tasks there are, in which order, and who does them.

    needs.py      what a task needs of a machine, as the command line says it
    tasks.py      the models of a suite as tasks, each after those that it is built from
    schedule.py   which task is started next
    packed.py     an entry of the store as bytes, for machines that do not see the store
    worker.py     what is done on the other machine
    cluster.py    Ray, connected and left again
    driver.py     gives tasks away and takes in what comes back

What pytest's command line asks for is read in plugin/ray.py. Ray is imported in functions of cluster.py and
driver.py alone, where a run asks for it.
"""
