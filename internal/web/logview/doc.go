// Package logview is what the address of the list says and how it changes: the
// filter, the range of time, the place between pages, and the links that remove,
// add or widen one of them. It asks no engine and writes no HTML.
//
// The address has q (the filter language), range (24h, 7d, 30d, 90d, 1y, all or
// custom, then with from and to), cursor (the place), tz and embed. Forms send
// more parameters, which [Edit] turns into such an address.
package logview
