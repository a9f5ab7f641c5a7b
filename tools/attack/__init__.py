"""A standing attack: random sequences of commands and edits, checked by an oracle that judges from scratch.

    python -m tools.attack --sequences 300 --seed 0

A world is a small project of one kind: models behind servers, released folders, a user's task of lm-eval, log
folders, prediction files. A sequence starts from a project whose first run has passed, and applies 5 to 10
actions, drawn by its seed: runs of pytest, slimgate's commands, and edits of every file that a result depends
on. Each command runs in a separate process, with the real plugin, store, records and baselines.

The property. The *state* is all files of the project without store and reports. The truth of a state is what
a run from scratch gives: a copy of the files, an empty store, a new process. If a model is simple enough, a
few lines of plain Python compute its figures instead. Then

1. **A PASS is of the state.** Each verdict PASS that a run writes into run.json is PASS by the truth of the
   state in which the run was made, with the same figures of teacher and variant. That includes results that
   came from the store or were carried over from an earlier run. A shard's results belong to the state in
   which the shard ran; in a merged record, each variant passes by the truth of its shard.
2. **Exit code 0 is a PASS.** A run of the whole suite, or a merge, ends with 0 only if every budget of the
   suite passes by the truth.
3. **A baseline binds.** `accept` without a reason, `compare` with every --fail-on, and a whole run with
   --slimgate-baseline end with 0 only if, since the last accepted run, no budget was deleted or became looser
   without a reason, no variant that had to pass is missing or informational, no gate row was removed or
   changed, and everything that passed still passes.
4. **Only what passed ships.** `export` and `accept` without a reason, and a card that says PASS, are of
   variants that pass all their budgets by the truth of the state that was judged.
5. **A log is one run.** `slimgate judge` ends with 0 only if the rows of a single run of the target match
   those of a single run of the base one by one, under the same settings, and no metric's observed drop is
   above its budget. A run that is not the newest of its folder is named in the output.

A FAIL that the truth does not have is no bug here. Neither is a baseline that was accepted with a reason.

The attack prints a sequence that breaks the property with its seed, and shrinks it: it leaves out actions as
long as the same rule breaks. It does not use the state machines of hypothesis: an action takes a second here,
and one search lists several bugs, but hypothesis would shrink the first bug for minutes.
"""
