"""The page's fixed words: names of metrics, what the figures of the leak audit mean, and the glossary."""

from __future__ import annotations

from nestvec.evaluation.metrics import CONDENSED

_FORMS = {"mrr": "MRR", "ndcg": "nDCG", "ndcg-exp": "nDCG-exp", "map": "MAP"}

RIVALS = {"pretrained": "the pretrained model", "bm25": "BM25"}

CHOICES = {
    "proven": "smallest that is shown to hold up",
    "likely": "smallest that very likely holds up",
    "tiny": "smallest that still beats what you have",
}

SPLITS = {
    "train": "The models learn from these.",
    "validation": "Every choice is made here.",
    "test": "Every claim is measured here, once.",
    "withheld": "Left out, because the document is judged for a held-out query too.",
    "unused": "Not among the records that the published protocol draws.",
}

SYSTEMS = {
    "pretrained": "The model as it is, without any training of ours. Every change is measured against it.",
    "bm25": "Ranks by the words that query and document share; a rare word counts for more. It has no vectors.",
    "mnr": "Learns to put a query nearer to its relevant document than to the other documents of a batch.",
    "matryoshka": "Learns as mnr does, but at every dimension at once, so that the start of a vector ranks well alone.",
    "cosine": "Learns to make the cosine of query and document equal to the grade, scaled to lie between 0 and 1.",
    "cosine-matryoshka": "Learns as cosine does, but at every dimension at once.",
    "cosent": "Learns that of two judged pairs the one with the higher grade shall have the higher cosine.",
    "cosent-matryoshka": "Learns as cosent does, but at every dimension at once.",
    "graded": (
        "Learns to rank relevant documents above those judged clearly worse, at every dimension at once. Unless "
        "the setting codes names precisions, it trains on vectors in full precision alone."
    ),
    "adapted": (
        "Learns the catalogue's own texts: to put a few words of a document nearer to it than to other documents. It "
        "needs no judgement."
    ),
}

ADAPTED_ON = {
    "train": "the texts of the documents that belong to no validation or test query",
    "catalogue": "the texts of all documents, those judged for validation and test queries among them",
}

PROTOCOLS = {
    "leak-free": (
        "Queries were divided by a hash of their text, so all judgements of a query stay together. A document judged "
        "for a validation or test query is withheld from training."
    ),
    "by-query": (
        "Queries were divided by a hash of their text, so all judgements of a query stay together. A document judged "
        "for a held-out query may be trained on too."
    ),
    "own": "The source says itself which split each record belongs to.",
    "published": (
        "Records were divided at random, as in the original experiment. The same query or document can stand on both "
        "sides, so a model can remember rather than find."
    ),
}

LEAKS = {
    "test queries in training": "Query texts of the test split that were trained on. Above 0, test results flatter.",
    "test documents in training": "Documents judged for test queries and trained on. Above 0, test results flatter.",
    "validation queries in training": "The same for validation. Above 0, choices lean towards what was remembered.",
    "validation documents in training": "The same for validation. Above 0, choices lean towards what was remembered.",
}

THRESHOLDS = {
    "given": "as given in the settings",
    "dip": "the dip between the two humps of the histogram",
    "middle": "the middle of the range, as the histogram has no dip",
    "listed": "whatever is listed, as what is not listed has grade 0",
}

GLOSSARY = {
    "Query, document": "What a person typed, and the text of one product. All documents together are the catalogue.",
    "Grade, threshold": "How well people found a document to fit a query; from the threshold on it counts as relevant.",
    "System": "One thing that ranks: BM25, which matches words, or a model that turns texts into vectors.",
    "Dimension": "How many numbers of a vector are kept, counted from its start; the rest is cut off.",
    "Precision": "How each number is stored: float32 takes four bytes, int8 one; int4, int2 and binary 4, 2 and 1 bit.",
    "Bytes per vector": (
        "What one document takes in the index: dimension times bytes per number, rounded up. A vector in int4, int2 or "
        "binary takes 2 bytes more, for its correction."
    ),
    "recall@10": "The share of the relevant documents of a query that are among the first ten.",
    "MRR@10": "One divided by the rank of the first relevant document; 0 if none is among the first ten.",
    "nDCG@10": "How well the first ten are ordered by grade, against the best possible order.",
    "Precision, accuracy, MAP": "Relevant ones among the first k; whether there is one; precision over their ranks.",
    "nDCG-exp": "nDCG with 2 to the grade less 1 as gain, so that top grades count for more.",
    "Condensed": "Measured on rankings from which unjudged documents were taken out.",
    "Frontier": "The best that each number of bytes reaches: what lies below it is a waste of bytes.",
    "Beside keyword search": "Keywords and vectors both rank, and the two scores are fused (a hybrid).",
    "Vectors alone": "Only the vectors rank.",
    "Proven, likely, tiny": (
        "The smallest vector whose loss stays within the margin at 95\u00a0% confidence; the smallest for which that "
        "has a chance of at least 90\u00a0%; the smallest that still beats what a team has without it."
    ),
    "BM25, tuned": "BM25 with its settings fitted on training queries. Untuned is BM25 with the usual settings.",
    "Two stages": "A small code finds a shortlist, a larger one ranks it.",
    "Principal axes": (
        "The directions in which the documents' vectors vary most (PCA). A vector turned to these axes keeps more of "
        "what it says when it is cut. Dimensions that are axes are named so: 192 axes."
    ),
    "Effect size": "The mean difference over its spread from query to query.",
    "judged@10": "The share of the first ten that anyone judged. Unjudged documents count as not relevant.",
    "95\u00a0% interval": "Where the mean over all such queries plausibly lies, by resampling the queries (bootstrap).",
    "p, Holm-corrected": "How often chance alone would show such a difference, made stricter for each comparison.",
    "Margin": "The loss that counts as none. A vector holds up if its loss is smaller with 95\u00a0% confidence.",
    "Gate": "The last check: what is shipped must beat both the pretrained model and BM25.",
}


def metric_label(metric: str) -> str:
    """A metric's name as people write it: `MRR@5`, `condensed MAP`."""
    name = metric.removeprefix(CONDENSED)
    measure, mark, cutoff = name.partition("@")
    return f"{'condensed ' if name != metric else ''}{_FORMS.get(measure, measure)}{mark}{cutoff}"
