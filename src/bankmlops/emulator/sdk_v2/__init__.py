"""What Azure ML's SDK v2 (`azure-ai-ml`) asks of Azure Resource Manager beyond SDK v1: datastores, data assets and AutoML jobs.

Its routes stand on the same state and the same trainings as SDK v1's, so each SDK sees what the other has trained.
"""
