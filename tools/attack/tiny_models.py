"""Tiny models for the worlds: `python -m tools.attack.tiny_models classifier|decoder FOLDER`.

Both have random weights. The labels of the rows are the answers of the classifier, so all of them are right.
"""

from __future__ import annotations

import csv
import sys
from pathlib import Path
from typing import Any

from fixtures.models.tiny import write_rows, write_tiny_bert

LABELS = ("neg", "pos")
# The model's answer depends on the end of the prompt, which a changed template cuts or changes.
TEMPLATE = "{% for m in messages %}{{ m['content'] }}{% endfor %} "


def write_classifier(folder: Path, *, train: int = 24, gate: int = 120) -> None:
    """Writes a BERT with a head into folder/model, and train.csv and gate.csv with its labels."""
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    write_tiny_bert(folder / "model", labels=LABELS, initializer_range=0.3)
    model: Any = AutoModelForSequenceClassification.from_pretrained(folder / "model")
    tokenizer: Any = AutoTokenizer.from_pretrained(folder / "model")
    write_rows(folder / "rows.csv", 2 * (train + gate))
    with (folder / "rows.csv").open(encoding="utf-8") as stream:
        texts = list(dict.fromkeys(row["text"] for row in csv.DictReader(stream)))[: train + gate]
    (folder / "rows.csv").unlink()
    with torch.no_grad():
        logits = model.eval()(**tokenizer(texts, return_tensors="pt", padding=True)).logits
        margins = logits[:, 1] - logits[:, 0]
        model.classifier.bias[1] -= margins.median()  # about as many rows of each label
    model.save_pretrained(folder / "model")
    labels = [LABELS[int(margin > margins.median())] for margin in margins]
    rows = list(zip(texts, labels, strict=True))
    for name, part in (("train", rows[:train]), ("gate", rows[train:])):
        with (folder / f"{name}.csv").open("w", newline="", encoding="utf-8") as stream:
            csv.writer(stream, lineterminator="\n").writerows([("text", "label"), *part])


def write_decoder(folder: Path) -> None:
    """Writes a Llama with a tokenizer of bytes and a chat template into folder/model."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    from slimgate.models.pretrained import train_tokenizer

    tokenizer = train_tokenizer(["any text"], family="llama", size=258)
    tokenizer.chat_template = TEMPLATE
    end = tokenizer.eos_token_id
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=64,
        initializer_range=0.5,
        bos_token_id=end,
        eos_token_id=end,
        tie_word_embeddings=False,
    )
    LlamaForCausalLM(config).save_pretrained(folder / "model")
    tokenizer.save_pretrained(folder / "model")


if __name__ == "__main__":
    {"classifier": write_classifier, "decoder": write_decoder}[sys.argv[1]](Path(sys.argv[2]))
