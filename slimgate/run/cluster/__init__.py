"""Builds models of a run on other machines, with Ray.

    tasks.py      the models of a suite as tasks, each after those that it is built from
    schedule.py   the tasks that the store has no results of, their expected times, and which to start next
    worker.py     runs a task on the other machine
    cluster.py    connects to Ray and disconnects
    driver.py     sends tasks to Ray and stores their results

plugin/ray.py reads the options of pytest's command line. Only functions of cluster.py and driver.py import
Ray, when a run uses it.
"""
