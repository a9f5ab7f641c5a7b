"""The kinds of budgets: what a budget limits, in words, and which metrics it suits."""
