package natskv

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"strings"

	"github.com/nats-io/nats.go"

	"github.com/trustkeep/trustkeep"
)

// unprintable stands for a URL that is none. Any part of it may be a secret: a password with
// a slash in it ends the host early.
const unprintable = "[not a URL]"

// split returns the URLs in the order in which nats.go finds them, several of which may be
// in one string.
func split(urls ...string) []string {
	var out []string
	for one := range strings.SplitSeq(strings.Join(urls, ","), ",") {
		if one = strings.TrimSpace(one); one != "" {
			out = append(out, one)
		}
	}
	return out
}

// urls returns the URLs to connect to. What nats.go cannot parse it repeats in its error.
func (s Server) urls() ([]string, error) {
	out := split(s.URLs...)
	for _, one := range out {
		if strings.Contains(one, "@") {
			return nil, &trustkeep.Error{
				Op: "a user or secret in URLs", Err: trustkeep.ErrInvalid,
				Hint: "set PrivateURLs, or options of nats.go in NATS",
			}
		}
	}
	if s.PrivateURLs != nil {
		secret, err := s.PrivateURLs.Reveal()
		if err != nil {
			return nil, err
		}
		out = append(out, split(string(secret))...)
		clear(secret)
	}
	if len(out) == 0 {
		return []string{nats.DefaultURL}, nil
	}
	for _, one := range out {
		if public(one) == unprintable {
			return nil, &trustkeep.Error{
				Op: "parse the URL of a server", Err: trustkeep.ErrInvalid,
				Hint: "it is not shown, since it may hold a secret; in users, passwords and tokens write %2C for a comma, %2F for a slash",
			}
		}
	}
	return out, nil
}

// public is the part of a URL that is no secret, its scheme, host and port. A user name is
// left out, too: a token for NATS takes its place.
func public(text string) string {
	scheme, rest, ok := strings.Cut(text, "://")
	if !ok {
		scheme, rest = "nats", text
	}
	u, err := url.Parse(scheme + "://" + rest)
	// Whatever has another @ later has lost part of a password to the host.
	if err != nil || u.Host == "" || strings.Contains(u.Path+u.RawQuery+u.Fragment, "@") {
		return unprintable
	}
	return trustkeep.Printable(u.Scheme + "://" + u.Host)
}

// String lists the servers by scheme, host and port, without users, passwords and tokens.
func (s Server) String() string {
	all := publicAll(split(s.URLs...))
	switch {
	case s.PrivateURLs == nil:
		return all
	case all == "":
		return "private URLs"
	}
	return all + ",private URLs"
}

func publicAll(urls []string) string {
	all := make([]string, len(urls))
	for i, one := range urls {
		all[i] = public(one)
		// A comma in a token has cut it in two, if this is not how somebody writes several.
		if i > 0 && strings.Contains(one, "@") && !strings.Contains(one, "://") {
			all[i-1] = unprintable
		}
	}
	return strings.Join(all, ",")
}

// Format prints String whatever the verb.
func (s Server) Format(f fmt.State, _ rune) { io.WriteString(f, s.String()) }

// MarshalText yields String, for JSON and XML.
func (s Server) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// MarshalBinary yields String, for gob, which ignores MarshalText.
func (s Server) MarshalBinary() ([]byte, error) { return []byte(s.String()), nil }

// LogValue implements slog.LogValuer through String.
func (s Server) LogValue() slog.Value { return slog.StringValue(s.String()) }

// withoutURL is an error of nats.go without the URL that it may repeat.
func withoutURL(err error) error {
	if parse, ok := errors.AsType[*url.Error](err); ok {
		return fmt.Errorf("%s a URL: %w", parse.Op, parse.Err)
	}
	return err
}
