"""Measuring predictions; numpy only.

Formulas, which know arrays and no files: `retrieval`, `highlights`, `relevance`, `classification`, `regression`, and
`bootstrap` for intervals of any of them. `conventions`: where reference evaluators differ. Files: `lines`, `formats`,
`matching`. What belongs together: `queries`, `clips`, `scores` are the protocols, `report` their documents, and
`protocols.evaluate` the one function that `rdmf evaluate` calls.
"""
