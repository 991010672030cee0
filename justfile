# Thin names for commands that also work without just.

# list the recipes
default:
    @just --list

# the main job, once: two sites, one link, every byte compared
demo *ARGS:
    go run ./cmd/isgwnode demo {{ARGS}}

# every test
test:
    go test ./...

# the tests under the race detector
race:
    go test -race ./...

# generate the protobuf and connect code again
generate:
    go tool -modfile=.ci/tools.mod buf generate

# what CI checks before it tests
lint:
    gofmt -l $(git ls-files '*.go')
    go vet ./...
    go tool -modfile=.ci/tools.mod staticcheck ./...

# build both programs into bin/
build:
    go build -o bin/ ./cmd/...

# what is released: static programs for linux, archives, checksums, in dist/
dist:
    bash .ci/dist

# the long forms of what must hold, and the benchmark against its minima: an hour or more on two idle cores with 8 GiB of memory
long:
    bash .ci/long

# fuzz every parser of bytes from outside, each for TIME
fuzz TIME="20s":
    bash .ci/fuzz {{TIME}}

# sites that write, crash and lose each other, without and with operators at work, from new seeds for TIME each; a seed that fails is named
fuzz-links TIME="10m":
    ISGW_FUZZ_FOR={{TIME}} go test ./sync -count=1 -timeout 0 -run '^TestConverge(WhateverIsSet)?$'

# what the project's speed is: -run NAME, -runs N, -scale X, -json FILE, -doc docs/performance.md
bench *ARGS:
    bash .ci/bench {{ARGS}}

# the benchmarks of the parts against a base, which `just bench-micro save` makes; `once` sees that they run
bench-micro *ARGS:
    bash .ci/bench-micro {{ARGS}}
