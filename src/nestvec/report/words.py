"""The page's fixed texts: names of metrics, explanations of splits, systems and leaks, and the glossary."""

from __future__ import annotations

from nestvec.evaluation.metrics import CONDENSED

_FORMS = {"mrr": "MRR", "ndcg": "nDCG", "ndcg-exp": "nDCG-exp", "map": "MAP"}

RIVALS = {"pretrained": "the pretrained model", "bm25": "BM25"}

CHOICES = {
    "proven": "smallest that is proven to hold up",
    "likely": "smallest that very likely holds up",
    "tiny": "smallest that still beats what you have",
}

SPLITS = {
    "train": "The models learn from these.",
    "validation": "Every choice is made here.",
    "test": "Every claim is measured here, once.",
    "withheld": "Left out of training, because the document is also judged for a held-out query.",
    "unused": "Left out, because the published protocol did not draw these records.",
}

SYSTEMS = {
    "pretrained": "The model before any training on this data. Every change is measured against it.",
    "bm25": "Ranks by the words that query and document share; rare words count more. BM25 has no vectors.",
    "mnr": "Learns to put a query nearer to its relevant document than to the other documents of a batch.",
    "matryoshka": "Learns as mnr does, but for all dimensions at once, so that a vector still ranks well when cut.",
    "cosine": "Learns to make the cosine of query and document equal to the grade, scaled to lie between 0 and 1.",
    "cosine-matryoshka": "Learns as cosine does, but for all dimensions at once.",
    "cosent": "Learns to give a pair of query and document a higher cosine than any pair with a lower grade.",
    "cosent-matryoshka": "Learns as cosent does, but for all dimensions at once.",
    "graded": (
        "Learns to rank relevant documents above those judged clearly worse, for all dimensions at once. It trains on "
        "vectors in full precision alone, unless the setting codes names other precisions."
    ),
    "adapted": (
        "Learns from the catalogue's texts alone: to put a few words of a document nearer to that document than to "
        "other documents. It needs no judgements."
    ),
}

ADAPTED_ON = {
    "train": "the texts of the documents that belong to no validation or test query",
    "catalogue": "the texts of all documents, including those judged for validation and test queries",
}

PROTOCOLS = {
    "leak-free": (
        "Queries were divided by a hash of their text, so all judgements of a query stay together. A document judged "
        "for a validation or test query is withheld from training."
    ),
    "by-query": (
        "Queries were divided by a hash of their text, so all judgements of a query stay together. Training may see a "
        "document that is judged for a held-out query."
    ),
    "own": "The source itself names the split of each record.",
    "published": (
        "Records were divided at random, as in the original experiment. The same query or document can be in both "
        "training and test, so a model can remember answers instead of finding them."
    ),
}

LEAKS = {
    "test queries in training": "Query texts of the test split that were trained on. Above 0, results are too good.",
    "test documents in training": "Documents judged for test queries and trained on. Above 0, results are too good.",
    "validation queries in training": "The same for validation. Above 0, choices favour models that memorise.",
    "validation documents in training": "The same for validation. Above 0, choices favour models that memorise.",
}

THRESHOLDS = {
    "given": "as given in the settings",
    "dip": "the dip between the two humps of the histogram",
    "middle": "the middle of the range, as the histogram has no dip",
    "listed": "all listed documents are relevant, as unlisted ones have grade 0",
}

GLOSSARY = {
    "Query, document": "What a person typed, and the text of one product. All documents together are the catalogue.",
    "Grade, threshold": "How well a document fits a query, as judged by people. From the threshold up it is relevant.",
    "System": "Anything that ranks: BM25, which matches words, or a model that turns texts into vectors.",
    "Dimension": "How many numbers of a vector are kept, counted from its start; the rest is cut off.",
    "Precision": "How each number is stored: float32 takes four bytes, int8 one; int4, int2 and binary 4, 2 and 1 bit.",
    "Bytes per vector": (
        "The size of one document's vector in the index: dimension times bytes per number, rounded up. A vector in "
        "int4, int2 or binary takes 2 bytes more, for a correction."
    ),
    "recall@10": "The share of the relevant documents of a query that are among the first ten.",
    "MRR@10": "One divided by the rank of the first relevant document; 0 if none is among the first ten.",
    "nDCG@10": "How well the first ten are ordered by grade, against the best possible order.",
    "Precision@k": "The share of the first k results that are relevant.",
    "Accuracy@k": "1 if any of the first k results is relevant, else 0.",
    "MAP": "Mean average precision: the mean of the precision at the rank of every relevant document.",
    "nDCG-exp": "nDCG with the gain 2^grade \u2212 1, so that top grades count more.",
    "Condensed": "Measured on rankings from which unjudged documents were removed.",
    "Frontier": "The best value at each number of bytes. A point below the frontier wastes bytes.",
    "Beside keyword search": "Keywords and vectors both rank, and the two scores are fused (a hybrid).",
    "Vectors alone": "Only the vectors rank.",
    "Proven": "The smallest vector whose loss stays within the margin at 95\u00a0% confidence.",
    "Likely": "The smallest vector whose loss stays within the margin with a chance of at least 90\u00a0%.",
    "Tiny": "The smallest vector that still beats what the team has now.",
    "BM25, tuned": "BM25 with its settings fitted on training queries. Untuned is BM25 with the usual settings.",
    "Two stages": "A small code finds a shortlist; a larger code reranks the shortlist.",
    "Principal axes": (
        "The directions in which the documents' vectors vary most (PCA). A vector that is rotated to these axes loses "
        "less when it is cut. A vector cut to 192 such axes is named \u201c192 axes\u201d."
    ),
    "Effect size": "The mean difference divided by its standard deviation over the queries.",
    "judged@10": "The share of the first ten results that people judged. Unjudged documents count as not relevant.",
    "95\u00a0% interval": "Where the mean over all such queries plausibly lies, by resampling the queries (bootstrap).",
    "p, Holm-corrected": "How often chance alone would show such a difference, corrected for all comparisons made.",
    "Margin": "The loss that you accept. A vector holds up if it loses less than the margin at 95\u00a0% confidence.",
    "Gate": "The last check: a recommendation must beat BM25, the pretrained model and, if fused, its vectors alone.",
}


def metric_label(metric: str) -> str:
    """Write a metric's name in its usual spelling: `MRR@5` for `mrr@5`, `condensed MAP` for `condensed-map`."""
    name = metric.removeprefix(CONDENSED)
    measure, mark, cutoff = name.partition("@")
    return f"{'condensed ' if name != metric else ''}{_FORMS.get(measure, measure)}{mark}{cutoff}"
