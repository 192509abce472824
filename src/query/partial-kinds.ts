/**
 * What a scan tells of a group: the number of its records, or of a column the number of its values, their sum, the
 * sums of their upper and lower 32 bits, the least and the greatest of them.
 */
export type PartialKind = 'rows' | 'values' | 'sum' | 'high' | 'low' | 'least' | 'greatest'

/** What a scan can tell of a column's values: all; for sums their halves; no sums; nothing but their number. */
export type PartialClass = 'number' | 'wide' | 'ordered' | 'counted'
