PACKAGES = ./... ./bench/... ./examples/... ./examples/recipes/... ./natskv/... ./pgstore/...
.PHONY: test lint fuzz bench
test:
	go test $(PACKAGES)
lint:
	.ci/lint
fuzz:
	.ci/fuzz 1m
bench:
	go test -run '^$$' -bench . -benchmem $(PACKAGES)
