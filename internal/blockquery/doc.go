// Package blockquery answers a query about one block of columns: which of its
// rows match, how many there are by time or by value. [audit.Query.Match] says
// what matches. Rows are not materialized where the columns can say it.
//
// A store asks block by block: first Skips and SkipsFilter, which need no more
// than what is kept in memory of a block, then Rows, Histogram or Facets with a
// reader. A block's conditions are asked from the cheapest on, and as soon as no
// row is left the rest of the block is not looked at:
//
//  1. values, letter for letter, in the dictionaries: a condition that no entry
//     of a dictionary meets ends it without looking at a row;
//  2. bounds of time;
//  3. the rows of these dictionary entries, those of the fewest first;
//  4. parts of names and user agents, then metadata of actors and targets, which
//     means going through a dictionary;
//  5. paths into the entries' metadata, and free text.
//
// Each of them looks only at the rows that those before have left, and none at
// rows that the source says are hidden.
package blockquery
