package trustkeep_test

import (
	"reflect"
	"testing"

	"github.com/trustkeep/trustkeep"
)

func TestLimitsDefaults(t *testing.T) {
	defaults := trustkeep.Limits{}.WithDefaults()
	want := trustkeep.Limits{
		MaxSize: 128 << 20, MaxDepth: 32, MaxEntries: 200_000, MaxIterations: 5_000_000, MaxKDFMemory: 64 << 20,
		MaxKeyBits: 16_384,
	}
	if defaults != want {
		t.Errorf("documented defaults are %+v, got %+v", want, defaults)
	}
	if again := defaults.WithDefaults(); again != defaults {
		t.Errorf("applied twice: %+v", again)
	}
}

// Each field is set by itself: the others get their defaults, it keeps its
// value. Walks the struct, so that a field added later cannot be forgotten.
func TestLimitsKeepWhatIsSet(t *testing.T) {
	defaults := reflect.ValueOf(trustkeep.Limits{}.WithDefaults())
	for i := range defaults.NumField() {
		var l trustkeep.Limits
		reflect.ValueOf(&l).Elem().Field(i).SetInt(7)
		got := reflect.ValueOf(l.WithDefaults())
		for j := range got.NumField() {
			want := defaults.Field(j).Int()
			if i == j {
				want = 7
			}
			if got.Field(j).Int() != want {
				t.Errorf("with only %s set, %s is %d, want %d", got.Type().Field(i).Name, got.Type().Field(j).Name, got.Field(j).Int(), want)
			}
			if want == 0 {
				t.Errorf("%s has no default", got.Type().Field(j).Name)
			}
		}
	}
}
