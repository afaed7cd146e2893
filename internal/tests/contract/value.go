package contract

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/big"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// decode reads a value with its numbers as they are written.
func decode(value []byte) (any, error) {
	decoded, err := jsonschema.UnmarshalJSON(bytes.NewReader(value))
	if err != nil {
		return nil, err
	}
	return tame(decoded), nil
}

// tame puts a number that can be written out in the place of each that cannot, because the validator would try. Both are
// numbers that no schema takes for an integer of 64 bits.
func tame(value any) any {
	switch v := value.(type) {
	case json.Number:
		const longest = 1000
		if exponentOf(v) > longest {
			return json.Number("1e1000")
		}
	case map[string]any:
		for name, member := range v {
			v[name] = tame(member)
		}
	case []any:
		for i, element := range v {
			v[i] = tame(element)
		}
	}
	return value
}

// exponentOf is how many digits a number's exponent adds to it.
func exponentOf(number json.Number) int {
	at := strings.IndexAny(number.String(), "eE")
	if at < 0 {
		return 0
	}
	exponent, ok := new(big.Int).SetString(number.String()[at+1:], 10)
	if !ok || !exponent.IsInt64() {
		return 1 << 30
	}
	return int(max(exponent.Int64(), -exponent.Int64()))
}

// text is a member as a text: a string, or a number as it is written; empty where it is absent.
func text(object map[string]any, name string) string {
	switch v := object[name].(type) {
	case string:
		return v
	case json.Number:
		return v.String()
	default:
		return ""
	}
}

// balanced holds a ledger record to what its counts have to add up to.
func balanced(record map[string]any) error {
	sum := new(big.Rat)
	for _, name := range []string{"repeated", "skipped", "published", "rejected"} {
		sum.Add(sum, number(record, name))
	}
	if rows := number(record, "rows"); rows.Cmp(sum) != 0 {
		return fmt.Errorf("rows is %s, but the parts of it are %s", rows.RatString(), sum.RatString())
	}
	return nil
}

// summed tells whether the hours of a day's coverage add up.
func summed(record map[string]any) error {
	hours, _ := record["hours"].([]any)
	for _, one := range hours {
		hour, _ := one.(map[string]any)
		sum := new(big.Rat).Add(number(hour, "published"), number(hour, "rejected"))
		if rows := number(hour, "rows"); rows.Cmp(sum) != 0 {
			return fmt.Errorf("in the hour %s rows is %s, but the parts of it are %s", text(hour, "hour"), rows.RatString(), sum.RatString())
		}
	}
	return nil
}

func number(object map[string]any, name string) *big.Rat {
	n, ok := new(big.Rat).SetString(text(object, name))
	if !ok {
		return new(big.Rat)
	}
	return n
}
