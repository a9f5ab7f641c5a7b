"""The kinds of budgets, one file each: what a budget limits, in words, and which metrics it suits."""
