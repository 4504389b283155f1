module github.com/trustkeep/trustkeep/bench

go 1.26.0
