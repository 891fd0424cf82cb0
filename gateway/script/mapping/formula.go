package mapping

import "slices"

// Formula is a formula that mappings can use.
type Formula struct {
	// Key is what it is called, such as "$var".
	Key string
	// Does says what its value is, in a few words, in Markdown.
	Does string
}

// Formulas lists the formulas there are, for documentation.
func Formulas() []Formula { return slices.Clone(formulas) }

var formulas = []Formula{
	{"$var", "the variable at a path such as `$.data.id` or `parameters.list[0]`; `\\` in front of `.` or `[` makes it part of a name"},
	{"$plain", "what stands under it, as it is"},
	{"$tpl", "`template` with each `{name}` replaced by that of `values`"},
	{"$concat", "the items of a list joined, or `values` joined by `delimiter`; empty ones are left out"},
	{"$map", "the `to` of the first item of `mapping` whose `from` equals `value`, else `default`"},
	{"$case", "the `value` of the first of `cases` whose `filter` holds, else `default`"},
	{"$iterate", "a list with `item` computed for each item of `source`; within it there are `item`, `index` and `parent`"},
	{"$eval", "whether a value `is`, `isNot`, `isEmpty`, `contains` ... what stands beside it"},
	{"$and", "whether all items of a list are true"},
	{"$or", "whether any item of a list is true"},
	{"$firstNotEmpty", "the first item of a list that is there and not null"},
	{"$mergeObjects", "the objects of a list in one; later ones win"},
	{"$firstName", "the first name in a full name; nothing when there is one word only"},
	{"$lastName", "the last name in a full name"},
	{"$domainFromEmail", "what stands behind the @"},
	{"$extractDate", "the date of a time, as 2006-01-02, in UTC"},
	{"$extractTime", "the time of day of a time, as 15:04:05, in UTC"},
	{"$copy", "another field of the result"},
	{"$record", "the `id` of a record"},
	{"$formula", "what stands under it, as it is but for `$var`"},
	{"$jsonata", "a [JSONata](https://jsonata.org) expression, by the official engine; `$` is all variables"},
}

func known(name string) bool {
	return slices.ContainsFunc(formulas, func(f Formula) bool { return f.Key == "$"+name })
}

func formulaKeys() []string {
	var keys []string
	for _, f := range formulas {
		keys = append(keys, f.Key)
	}
	return keys
}

// Operators lists what can stand beside $eval, for documentation.
func Operators() []string { return slices.Clone(operators) }

var operators = []string{
	"is", "isNot", "isEmpty", "isNotEmpty", "contains", "doesNotContain", "oneOf", "noneOf", "gt", "gte", "lt", "lte",
}

// filterOperators are the operators of the list form of filters, and the functions that they are; those of
// $eval are understood too.
var filterOperators = map[string]string{
	"is_not": "isNot", "is_one_of": "oneOf", "is_not_one_of": "noneOf", "is_true": "isTrue", "is_false": "isFalse",
	"contains": "has", "does_not_contain": "hasNot", "array_includes": "includes", "array_does_not_include": "doesNotInclude",
	"less_than": "lt", "less_than_or_equal": "lte", "more_than": "gt", "more_than_or_equal": "gte", "is_empty": "isEmpty", "is_not_empty": "isNotEmpty",
}

// absent are formulas of the published format that need what a gateway of webhooks has not.
var absent = map[string]string{
	"lookup":               "finds records through the app's API, and the gateway has no API client",
	"findExternalRecordId": "reads data link tables, which the gateway does not have",
	"findAppRecordId":      "reads data link tables, which the gateway does not have",
	"dataSchemaRef":        "stands in schemas, and not in functions",
}

// absentVariables are variables of the published format that need a connection to the app.
var absentVariables = map[string]string{
	"apiClient":         "this needs the app's API (apiClient), and the gateway has no API client",
	"externalApiClient": "this needs an API (externalApiClient), and the gateway has no API client",
	"credentials":       "this needs a connection's credentials, and the gateway has no connections",
	"connection":        "this needs a connection to the app, and the gateway has none",
}
