package environment

import (
	"context"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/trustkeep/trustkeep"
)

// Event is a change that was made through a Registry. Its texts are safe to log and hold
// no secrets.
type Event struct {
	Time time.Time `json:"time"`
	// Actor is who made the change; see WithActor.
	Actor string `json:"actor,omitempty"`
	// Action is what was done: "component created", "component deployed".
	Action string `json:"action"`
	// Environment that the change is about; empty for what is in none.
	Environment string `json:"environment,omitempty"`
	// Object is the ID of the component, connection, process or atom.
	Object string `json:"object"`
	// Before and After describe it, empty where there was or is none.
	Before string `json:"before,omitempty"`
	After  string `json:"after,omitempty"`
}

type actorKey struct{}

// WithActor names who makes the changes that are made with the context: a user, a job.
// The name is kept in the records and told in events.
func WithActor(ctx context.Context, name string) context.Context {
	return context.WithValue(ctx, actorKey{}, name)
}

func actorOf(ctx context.Context) string {
	name, _ := ctx.Value(actorKey{}).(string)
	return name
}

// tell reports a change that was made.
func (r *Registry) tell(ctx context.Context, e Event) {
	e.Time, e.Actor = r.now(), actorOf(ctx)
	for _, text := range []*string{&e.Actor, &e.Object, &e.Before, &e.After} {
		*text = printable(*text)
	}
	if r.o.OnEvent != nil {
		r.o.OnEvent(e)
	}
	r.o.Logger.LogAttrs(ctx, slog.LevelInfo, e.Action,
		slog.String("actor", e.Actor), slog.String("environment", e.Environment), slog.String("object", e.Object),
		slog.String("before", e.Before), slog.String("after", e.After))
}

// printable makes the text of an event safe to log, whoever has written the record that
// it is about, and leaves it as long as it is.
func printable(text string) string {
	var b strings.Builder
	for part := range slices.Chunk([]rune(text), 256) { // as much as Printable takes
		b.WriteString(trustkeep.Printable(string(part)))
	}
	return b.String()
}
