package block

import "slices"

// countDays counts times by UTC day, in order.
func countDays(times []int64) []Day {
	numbers := make([]int32, len(times))
	for i, t := range times {
		numbers[i] = int32(t / dayNanos) //nolint:gosec // below 2^17
	}
	slices.Sort(numbers)
	var days []Day
	for _, day := range numbers {
		if n := len(days); n == 0 || days[n-1].Day != day {
			days = append(days, Day{Day: day})
		}
		days[len(days)-1].Rows++
	}
	return days
}
