// Package match decides which subscriptions an event reaches: selector patterns,
// filters on the payload, and an index over many subscriptions. It is pure: no
// I/O, no clock. config, live, ingest and the explain commands use it; filters
// also serve the `when` of declared handshakes.
//
// # Filters
//
// A filter is JSON in the syntax of Hookdeck's filters (npm simple-json-match 1.3.0),
// and means what it means there; the tests compare the two. In short:
//
//   - A literal equals what it equals in JavaScript's == between primitives: 1
//     and "1" and true. null equals null only.
//   - An object matches an object that has at least its fields.
//   - Where the payload has an array, one item must match.
//   - An array in the filter: each of its items must be matched by some item.
//   - $eq $neq $gt $gte $lt $lte $in $nin $startsWith $endsWith $exist apply to the field they
//     stand on, an array included ({"$gt": 4} does not look at the items of one).
//     Several on one field must all hold. A value of a type the operator does not
//     take does not match. A missing field matches {"$exist": false} only.
//   - $or, $and and $not take whole filters. On a field, $and and $not look at objects only:
//     a string or number there never matches. Warnings reports such uses.
//   - {"$ref": "path"} stands for a value of the payload; "items[$index].price" for the item
//     being matched, a second [$index] for the one inside it.
//
// Where that package gives no sensible answer, this one differs on purpose:
//
//   - An unknown operator, or an operator with an operand of a type it never matches, is an
//     error. There it is taken for a field, or nothing ever matches.
//   - Operators beside fields, $or or $ref in one object: all of them must hold. There some are
//     ignored, which ones depends on the payload.
//   - $not with 0, "", false or null as operand is evaluated like any other. There it is
//     ignored, depending on the payload.
//   - What $ref names is data: an object {"$gt": 0} in a payload is not an operator, as there it is, so
//     a sender cannot write conditions. A list that $ref names equals an equal list in $eq.
//   - Paths of $ref begin at the payload, also under $or on a field, where that package loses it. They
//     name the first value there is, have names, indexes, [*], .* and .length; filter expressions, scripts, slices,
//     unions and recursive descent of JSONPath are errors.
//   - Strings that are not valid Unicode (a lone surrogate) are compared after replacing what is
//     invalid in them by U+FFFD.
//   - Work is bounded: a filter that would take far more than one pass over the
//     payload for each of its conditions does not match.
package match
