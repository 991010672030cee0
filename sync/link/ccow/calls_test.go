package ccow

import (
	"context"

	"edgefog.dev/isgw/sync/link/linkpb"
	"edgefog.dev/isgw/sync/link/linktest"
)

// greeter is a source that greets and serves nothing.
func greeter() *linktest.Source {
	return &linktest.Source{
		OnHello:  func(context.Context, *linkpb.Hello) (*linkpb.Hello, error) { return &linkpb.Hello{}, nil },
		OnServed: func(context.Context) (*linkpb.Served, error) { return &linkpb.Served{}, nil },
	}
}
