"""What an editor shows of a suite's keys, where their tables do not say it themselves.

Kept apart from the Params of tasks and steps: their modules are part of every artifact's key, and a better
word shall build no model anew.
"""

from __future__ import annotations

from collections.abc import Mapping

Words = Mapping[str, str]

SUITE: Words = {
    "suite": "What the suite is called, and how it is run.",
    "task": "What the rows are, where they come from, and how they are split.",
    "teacher": "The model that every variant is held against.",
    "variants": "The models that you think of shipping, by name: a parent or a ready-made model, then steps.",
    "budgets": "What a variant may lose at most: metrics by name, size, latency, memory, flips, slices; "
    "[budgets.variants.NAME] for one variant.",
    "measure": "Which metrics and timed calls, and how long.",
    "tune": "What `slimgate tune` searches; docs/tune.md.",
}
TABLES: Mapping[str, Words] = {
    "SuiteTable": {
        "title": "The question that the suite answers; heads its report.",
        "seed": "Of splits, fresh weights and training; default 0.",
        "opt_in": "true: runs only when it is named on the command line.",
        "extends": "Another suite file, or several: tables merge, lists are replaced, later files win.",
        "threads": "CPU threads of every model; default the physical cores.",
    },
    "TeacherTable": {
        "model": "A folder (from this file's), a hub id (name@revision), package:NAME/PATH, or fresh:FOLDER "
        "for random weights.",
        "sha256": "The digest that its weights must have.",
        "steps": "Done once, before any variant: [{ fine_tune = { epochs = 2 } }].",
    },
    "VariantTable": {
        "from": "The variant that its steps start from; default the teacher.",
        "model": "A model that was built elsewhere, in place of from: a folder, a hub id, package:NAME/PATH.",
        "sha256": "The digest that the weights of model must have.",
        "steps": "Compression steps in order: [{ keep_layers = [0, 2, 5] }, { int8_dynamic = {} }].",
        "twin": "The variant of the same shape that learnt without a teacher; shown beside this one.",
        "gated": "false: its verdict is shown and fails no run; needs a reason.",
        "reason": "Why it is not gated; stands in the report.",
        "runtime": 'What executes it, such as { name = "compiled" }; default by the kind of its artifact.',
    },
    "MeasureTable": {
        "metrics": "Metrics to measure; those with a budget are gated. Default by the task.",
        "workloads": "Timed calls: [{ batch = 1 }, { batch = 32, tokens = 32 }]; default 1 and 32 rows.",
        "warmup": "Calls before the timed ones.",
        "rounds": "Timed calls at most.",
        "max_seconds": "Of timing a workload and a model: half for rounds, half for the duel.",
        "batch_size": "Rows of a batch when gate rows are predicted.",
        "batch_tokens": "Tokens of such a batch at most, with padding.",
        "on_inconclusive": '"warn": a budget that the rows cannot decide fails no run. Default "fail".',
    },
    "WorkloadTable": {
        "batch": "Rows of a call.",
        "tokens": "Rows are padded or cut to so many; default their own lengths.",
    },
    "QualityBudget": {
        "drop_points": "Percentage points of the metric that a variant may lose.",
        "drop_relative": "Fraction of the teacher's value that it may lose: 0.02 leaves 98 %.",
        "error_increase_relative": "By how much its error rate may grow: 0.1 is 1.1 times the teacher's.",
        "increase_relative": "By how much a loss or perplexity may grow: 0.05 is 1.05 times the teacher's.",
        "floor": "The least value that it must have, by its own interval.",
        "ceiling": "The largest value that it may have, by its own interval.",
    },
    "SizeBudget": {"compression_min": "Bytes of the teacher / bytes of the variant must reach this."},
    "LatencyBudget": {"speedup_min": "Teacher time / variant time must reach this, on every workload."},
    "MemoryBudget": {
        "memory_ratio_max": "Peak memory of the variant / of the teacher may reach this at most."
    },
    "FlipsBudget": {"flips_max_percent": "Gate rows that may turn from right to wrong, in percent."},
    "SliceBudget": {"drop_points": "Percentage points that any slice may lose."},
}
# Of every table of budgets.
BUDGET: Words = {
    "reason": "Why the budget is as it is; a looser one needs a reason.",
    "on_inconclusive": '"warn": where the rows cannot decide this budget the run does not fail.',
}
TASK: Words = {
    "kind": "What a model does with a row; README, Tasks. Your own as package.module:object.",
    "source": 'Where rows come from: { name = "files", train = "a.csv", gate = "b.csv" }, or name = "hub".',
    "group": "A column: rows of one group (a document, a user) stay in one split.",
    "splits": "Rows of each split: train fits weights, calibration feeds quantization, selection chooses, "
    "gate only judges.",
    "text": 'The column of text, or two for pairs: ["question1", "question2"].',
    "label": "The column of the label; of multi_label a column of lists, or several of 0 and 1.",
    "labels": "The data's label of each output of a ready-made model, where its names differ.",
    "max_tokens": "Longer rows are cut; of a language model, the window.",
    "pooling": '"mean": a new head on the mean of the token vectors; "model": the architecture\'s own way.',
    "score": "The column of numbers.",
    "score_range": "[lowest, highest] of the scores.",
    "pair": "Two columns: queries and their documents, or two texts to compare.",
    "words": "The column of words: lists, or text that is cut at white space.",
    "tags": "The column of BIO tags, one a word.",
    "names": "What numbers of tags or labels stand for, from 0.",
    "separator": "What joins labels in one string.",
    "threshold": "A label is told from this probability on.",
    "add_bos": "A start token before each document, so that its first token is predicted too.",
    "add_eos": "An end token behind each document.",
    "image": "The column of images.",
    "caption": "The column of captions.",
    "prompt": 'Texts that stand for a label: ["a photo of a {label}"].',
    "prompts": "Put before the texts of each column, where a model was trained so.",
    "normalize": "Whether embeddings have unit length; default as the model's folder says.",
    "similarity": "How embeddings are compared.",
    "matryoshka": "Leading dimensions that shall do on their own, in training.",
}
# Of every step that has them.
OPTIONS: Words = {
    "epochs": "Times that the train rows are learnt.",
    "learning_rate": "Of AdamW; falls linearly to 0.",
    "batch_size": "Rows of a training step.",
    "weight_decay": "Of AdamW.",
    "warmup_ratio": "Share of the steps in which the learning rate rises.",
    "keep_best": "Keep the epoch that is best on selection; false keeps the last.",
    "dropout": "While training; default the model's own.",
    "layer_drop": "Chance that a block is left out of a forward pass while training.",
    "freeze_embeddings": "Embeddings stay as they are.",
    "freeze_layers": "So many of the lowest blocks stay as they are.",
    "processes": "Train in so many on the CPU, which share each batch.",
    "precision": 'Of arithmetic; "auto" takes bfloat16 where the machine has it.',
    "alpha": "Weight of the labels; the rest is the teacher's answers.",
    "temperature": "Softens the teacher's answers.",
    "mse_weight": "Weight of the mean squared error of the logits, or of embeddings.",
    "hidden_weight": "Weight of the hidden states' error.",
    "attention_weight": "Weight of the attention scores' error.",
    "relation_weight": "Weight of the relations of queries, keys and values.",
    "embeddings": "Whether (or in how many bits) the token table is stored smaller too.",
    "output_layer": "Whether the layer that gives the answers is changed too.",
    "bits": "Bits of a weight.",
    "group_size": "Weights that share a scale.",
    "granularity": "What shares a scale: a group, an output channel, a whole matrix.",
    "sparsity": "Share of the weights that become 0.",
    "pruning_ratio": "Share that is taken out.",
    "tolerance": "How far answers may move from the model before the step.",
}
