/**
 * What a month of a bucket costs, by the list prices of S3 Standard in us-east-1, which most other regions and stores
 * are near to or below. An estimate to watch and compare, not a bill: transfer out of the region, other storage classes
 * and discounts are left out.
 */
import type { RequestCounts } from './metered-object-store.ts'

/** US dollars for one request. PUT and LIST are of one price, GET and HEAD of another; DELETE is free. */
const USD_PER_WRITE = 0.005 / 1_000
const USD_PER_READ = 0.0004 / 1_000
/** US dollars for 2^30 bytes in a month. */
const USD_PER_GIB_MONTH = 0.023
const MONTH_MS = 30 * 86_400_000

/** US dollars a month. */
export interface EstimatedCost {
  readonly storage: number
  /** As if requests went on as they did. */
  readonly requests: number
  readonly total: number
}

/** @param elapsedMs how long the requests took to come together; of less than a minute nothing is concluded. */
export function estimateCost(
  { put, list, get, head }: RequestCounts,
  elapsedMs: number,
  storedBytes: number,
): EstimatedCost {
  const spent = (put + list) * USD_PER_WRITE + (get + head) * USD_PER_READ
  const requests = elapsedMs < 60_000 ? 0 : (spent / elapsedMs) * MONTH_MS
  const storage = (storedBytes / 2 ** 30) * USD_PER_GIB_MONTH
  return { storage, requests, total: storage + requests }
}
