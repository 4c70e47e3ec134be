"""One module a stage of dvc.yaml: reads params and inputs, calls `avrec`, writes outputs. No logic of its own."""
