package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// ballast is memory that is taken away from the machine, and a file that fills
// what is left of it.
//
// A server that has run for a while has no free memory: what it writes takes the
// place of something that is cached. A machine that was just started has, and if
// it is a virtual one whose host takes free memory back, every first use of a
// page waits for the host. That says nothing of the program, and may take more
// than all that the program does.
type ballast struct {
	mem  []byte
	file string
	size int64 // of file, which has no content: only the cache of it takes room
}

// takeMemory leaves so many bytes of what is available.
func takeMemory(leave int64, dir string) (*ballast, error) {
	available, err := memory("MemAvailable:")
	if err != nil {
		return nil, err
	}
	b := &ballast{file: filepath.Join(dir, "fill"), size: leave}
	more := available - leave
	if more <= 0 {
		return nil, fmt.Errorf("leave %d MiB of memory: %d MiB are available", leave/mib, available/mib)
	}
	if b.mem, err = unix.Mmap(-1, 0, int(more), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE); err != nil {
		return nil, fmt.Errorf("take %d MiB of memory: %w", more/mib, err)
	}
	_ = unix.Madvise(b.mem, unix.MADV_HUGEPAGE) // it is faster
	for i := 0; i < len(b.mem); i += os.Getpagesize() {
		b.mem[i] = 1
	}
	return b, nil
}

// release gives the memory back.
func (b *ballast) release() error {
	if b == nil {
		return nil
	}
	if err := unix.Munmap(b.mem); err != nil {
		return fmt.Errorf("give memory back: %w", err)
	}
	return nil
}

// usedCost is what writing a GiB may cost once memory is in use. Where first uses of
// pages wait for a host it is several times as much.
const usedCost = 500 * time.Millisecond

// fills bounds how often memory is filled before a run.
const fills = 5

// inUse fills memory until a file is cheap to write, and returns what it cost at last. What
// that file took is filled again.
func inUse(fill func() error, cost func() (time.Duration, error)) (took time.Duration, err error) {
	for range fills {
		if err := fill(); err != nil {
			return 0, err
		}
		if took, err = cost(); err != nil {
			return 0, err
		}
		if took <= usedCost {
			break
		}
	}
	return took, fill()
}

// fill takes up all that is left, with pages that the kernel gives away first: those
// of a file without content, read on and on until hardly any memory is free.
func (b *ballast) fill() (err error) {
	file, err := os.OpenFile(b.file, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return fmt.Errorf("fill memory: %w", err)
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	// What is available was an estimate, and changes: it may be more than was to be left.
	if err := file.Truncate(2 * b.size); err != nil {
		return fmt.Errorf("fill memory: %w", err)
	}
	const step = 64 * mib
	buf := make([]byte, mib)
	for at := int64(0); at < 2*b.size; at += step {
		if at >= b.size {
			free, err := memory("MemFree:")
			if err != nil {
				return err
			}
			if free < hardlyFree {
				break
			}
		}
		if _, err := io.CopyBuffer(discard{}, struct{ io.Reader }{io.NewSectionReader(file, at, step)}, buf); err != nil {
			return fmt.Errorf("fill memory: %w", err)
		}
	}
	return nil
}

// hardlyFree is what a machine has free that uses its memory: the kernel keeps some.
const hardlyFree = 256 * mib

// memory reads one of the kernel's figures of the machine's memory, in bytes.
func memory(name string) (int64, error) {
	kib, err := parseField(name+firstMatch("/proc/meminfo", name), name)
	if err != nil {
		return 0, fmt.Errorf("read the machine's memory: %w", err)
	}
	return kib << 10, nil
}

// writeCost is the CPU time that the kernel takes for a GiB written into a file's
// cache.
func writeCost(dir string) (time.Duration, error) {
	const size = 256 * mib
	file, err := os.CreateTemp(dir, "write-")
	if err != nil {
		return 0, fmt.Errorf("write file: %w", err)
	}
	defer os.Remove(file.Name())
	defer file.Close()
	block := make([]byte, mib)
	fill(1, block)
	began := ownCPU()
	for range size / len(block) {
		if _, err := file.Write(block); err != nil {
			return 0, fmt.Errorf("write file: %w", err)
		}
	}
	cost := ownCPU() - began
	return cost * gib / size, file.Sync()
}
