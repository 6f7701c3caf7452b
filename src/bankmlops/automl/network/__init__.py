"""A network for tables among the learners: TabM, trained by PyTorch, kept as public scikit-learn and ONNX without it.

Gorishniy, Kotelnikov and Babenko, "TabM: Advancing Tabular Deep Learning with Parameter-Efficient Ensembling", ICLR 2025. PyTorch
and `tabm` (extra `deep`) are imported where a network is fitted, and nowhere else.
"""
