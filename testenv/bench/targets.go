package main

import "strings"

// target is what a figure is compared with.
type target struct {
	metric string
	most   bool    // the figure must not be above; otherwise not below
	least  float64 // the minimum that the project holds itself to
	goal   float64 // what it would like to reach; 0 is none
}

// targets hold for two idle cores and full sizes.
var targets = []target{
	{metric: "initial.rate", least: 300, goal: 455},
	{metric: "initial.cpu", most: true, least: 10, goal: 8},
	{metric: "small.rate", least: 3000, goal: 5000},
	{metric: "insert.wire", most: true, least: 1.5, goal: 1.2},
	{metric: "insert.time", most: true, least: 5, goal: 3},
	{metric: "copy.wire", most: true, least: 32, goal: 10},
	{metric: "copy.time", most: true, least: 0.5},
	{metric: "change.p50", most: true, least: 10, goal: 5},
	{metric: "change.p99", most: true, least: 40, goal: 15},
	{metric: "s3.put4k", least: 1200},
	{metric: "s3.get4k", least: 2500},
	{metric: "s3.put8m", least: 350, goal: 420},
	{metric: "s3.put8m-signed", least: 250, goal: 420},
	{metric: "s3.get8m", least: 900, goal: 1078},
	{metric: "s3.list", least: 30000, goal: 60000},
	{metric: "keys.put-ratio", most: true, least: 1.3, goal: 1},
	{metric: "keys.get-ratio", most: true, least: 1.3, goal: 1},
	{metric: "keys.head-ratio", most: true, least: 1.3, goal: 1},
	{metric: "keys.list-ratio", most: true, least: 1.3, goal: 1},
	{metric: "keys.delete-ratio", most: true, least: 1.3, goal: 1},
	{metric: "line50.large", least: 90},
	{metric: "line100.large", least: 90},
	{metric: "line50.small", least: 1500},
	{metric: "line100.small", least: 1500},
	{metric: "tunnel50.large", least: 90},
	{metric: "tunnel100.large", least: 90},
	{metric: "tunnel50.small", least: 1500},
	{metric: "tunnel100.small", least: 1500},
}

// memoryTarget is for every figure that is called memory.
var memoryTarget = target{most: true, least: 512}

func targetOf(metric string) *target {
	if strings.HasSuffix(metric, "memory") {
		return &memoryTarget
	}
	for i := range targets {
		if targets[i].metric == metric {
			return &targets[i]
		}
	}
	return nil
}

// verdict says how a figure compares. Without a target it is empty.
func (t *target) verdict(value float64) string {
	reached := func(bound float64) bool {
		if t.most {
			return value <= bound
		}
		return value >= bound
	}
	switch {
	case t == nil:
		return ""
	case t.goal != 0 && reached(t.goal):
		return "goal"
	case reached(t.least):
		return "met"
	}
	return "MISSED"
}
