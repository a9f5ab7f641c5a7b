"""What an editor shows of the keys of tasks and steps; the suite's own tables say it themselves.

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
