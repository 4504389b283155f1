module github.com/trustkeep/trustkeep/examples

go 1.26.0

require github.com/trustkeep/trustkeep v0.0.0

replace github.com/trustkeep/trustkeep => ../
