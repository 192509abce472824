/**
 * What a log in RAM lets go of next, by its policy:
 *
 * - `fifo`: the batch that was appended first;
 * - `lru`: the batch that was read longest ago; one that was never read counts from when it was begun;
 * - `ttl`: the records that expire next, then those that never do;
 * - `priority`: the records of the lowest priority: none goes while one of a lower priority stays.
 *
 * Under `ttl` and `priority` what is equal goes oldest batch first, and a batch that holds other records too is
 * replaced by a copy of those. Copies cost time, so one call lets go of less than it was asked for where that takes
 * fewer copies than COPY_BYTES_MAX; what it lets go of is right in itself.
 */
import type { TermsTest } from '../log/batch-runs.ts'
import type { HotBatch } from '../log/hot-batch.ts'
import type { LiveLog } from '../log/live-log.ts'
import type { Eviction } from '../log/eviction.ts'
import type { Partition } from '../log/partition.ts'
import type { RunList } from '../log/run-list.ts'

/** About 10 ms of copying. */
const COPY_BYTES_MAX = 16 * 1024 * 1024
/** Asking for less than a batch makes more copies, not fewer. */
const WANTED_BYTES_MIN = 64 * 1024
const BUCKETS = 1_024
/** While a copy is made, a column that doubles is there twice. */
const COPY_ROOM = 3

interface Held {
  readonly partition: Partition
  readonly batch: HotBatch
}

/** The key that decides who goes first: lower ones do. */
export interface Order {
  readonly of: (expiresAt: number, priority: number) => number
  readonly at: (runs: RunList, run: number) => number
  readonly leastOf: (batch: HotBatch) => number
  /** Of rows that nothing was asked for. */
  readonly ofPlain: number
}

export const BY_PRIORITY: Order = {
  of: (_, priority) => priority,
  at: (runs, run) => runs.priority(run),
  leastOf: (batch) => batch.priorityMin,
  ofPlain: 0,
}
const BY_EXPIRY: Order = {
  of: (expiresAt) => expiresAt,
  at: (runs, run) => runs.expiresAt(run),
  leastOf: (batch) => batch.expiresMin,
  ofPlain: Infinity,
}

interface Victim extends Held {
  readonly isVictim: TermsTest | null
  /** Of the records that go, and of those that are copied; estimates. */
  readonly bytes: number
  readonly copyBytes: number
}

/** When the records were appended that go next; Infinity when the log has none to give. */
export function nextVictimTime(log: LiveLog): number {
  switch (log.policy.evictionPolicy) {
    case 'reject':
      return Infinity
    case 'fifo':
      return oldest(log)?.batch.appendTimeMin ?? Infinity
    case 'lru':
      return leastBy(log, (batch) => batch.lastReadAt)
    case 'ttl':
      return leastBy(log, BY_EXPIRY.leastOf)
    case 'priority':
      return leastBy(log, BY_PRIORITY.leastOf)
  }
}

/** What would be free at once if the log let go of all it can. */
export function freeableBytes(log: LiveLog): number {
  if (log.policy.evictionPolicy === 'reject') return 0
  return heldBy(log).reduce((sum, { batch }) => sum + (batch.isLeased ? 0 : batch.bytes), 0)
}

/**
 * Lets go of about `wanted` bytes, or of what can be. Nothing, when readers hold batches that would have to be copied
 * and `roomBytes` do not hold the copies, or while an append is being staged.
 */
export function evictFrom(log: LiveLog, wanted: number, roomBytes: number): readonly Eviction[] {
  switch (log.policy.evictionPolicy) {
    case 'reject':
      return []
    case 'fifo':
      return evictOldest(log, wanted)
    case 'lru':
      return evictAll(wholes(byLastRead(log)), wanted)
    case 'ttl':
      return evictByKey(log, BY_EXPIRY, wanted, roomBytes)
    case 'priority':
      return evictByKey(log, BY_PRIORITY, wanted, roomBytes)
  }
}

function evictOldest(log: LiveLog, wanted: number): readonly Eviction[] {
  const evictions: Eviction[] = []
  for (let left = wanted; left > 0; left -= evictions.at(-1)?.bytes ?? 0) {
    const first = oldest(log)
    const eviction = first?.partition.evict(first.batch) ?? null
    if (eviction === null) break
    evictions.push(eviction)
  }
  return evictions
}

function oldest(log: LiveLog): Held | null {
  let found: Held | null = null
  for (const partition of log.partitions) {
    const batch = partition.oldestBatch
    if (batch === undefined || batch.length === 0) continue
    if (found === null || batch.appendTimeMin < found.batch.appendTimeMin)
      found = { partition, batch }
  }
  return found
}

function heldBy(log: LiveLog): Held[] {
  return log.partitions.flatMap((partition) =>
    partition.batches.flatMap((batch) => (batch.length === 0 ? [] : [{ partition, batch }])),
  )
}

/** The append time of the batch whose key is the least; of several the earliest. */
function leastBy(log: LiveLog, keyOf: (batch: HotBatch) => number): number {
  let least = Infinity
  let time = Infinity
  for (const partition of log.partitions) {
    for (const batch of partition.batches) {
      const key = batch.length === 0 ? Infinity : keyOf(batch)
      if (key > least || batch.length === 0) continue
      if (key < least || batch.appendTimeMin < time) time = batch.appendTimeMin
      least = key
    }
  }
  return time
}

function byLastRead(log: LiveLog): readonly Held[] {
  return heldBy(log).sort((a, b) => a.batch.lastReadAt - b.batch.lastReadAt)
}

function wholes(held: readonly Held[]): readonly Victim[] {
  return held.map(({ partition, batch }) => ({
    partition,
    batch,
    isVictim: null,
    bytes: batch.bytes,
    copyBytes: 0,
  }))
}

/** Evicts the victims in order until `wanted` bytes went or one cannot go. */
function evictAll(victims: readonly Victim[], wanted: number): readonly Eviction[] {
  const evictions: Eviction[] = []
  let left = wanted
  for (const { partition, batch, isVictim } of victims) {
    if (left <= 0) break
    const eviction =
      isVictim === null ? partition.evict(batch) : partition.evictRuns(batch, isVictim)
    if (eviction === null) break
    evictions.push(eviction)
    left -= eviction.bytes
  }
  return evictions
}

function evictByKey(
  log: LiveLog,
  order: Order,
  wanted: number,
  roomBytes: number,
): readonly Eviction[] {
  const held = heldBy(log).sort((a, b) => a.batch.appendTimeMin - b.batch.appendTimeMin)
  const victims = affordable(held, order, wanted)
  // One that cannot go would stay behind records that were to go after it.
  const leased = victims.filter(
    ({ batch, isVictim }) => isVictim !== null && (batch.isLeased || batch.isShared),
  )
  if (sum(leased, ({ batch }) => batch.bytes * COPY_ROOM) > roomBytes) return []
  if (victims.some(({ partition }) => partition.isStaging)) return []
  return evictAll(victims, Infinity)
}

/**
 * Fewer victims where those take too many copies; where they lie all over the batches, fewer of them would not take
 * fewer copies.
 */
function affordable(held: readonly Held[], order: Order, wanted: number): readonly Victim[] {
  let victims = victimsByKey(held, order, wanted)
  let copied = sum(victims, copyBytes)
  for (let less = wanted / 4; less >= WANTED_BYTES_MIN && copied > COPY_BYTES_MAX; less /= 4) {
    const fewer = victimsByKey(held, order, less)
    const fewerCopied = sum(fewer, copyBytes)
    if (fewerCopied > copied / 2) break
    victims = fewer
    copied = fewerCopied
  }
  return victims
}

function victimsByKey(held: readonly Held[], order: Order, wanted: number): readonly Victim[] {
  const { key, bytesBelow } = threshold(held, order, wanted)
  const victims: Victim[] = []
  // Below the key all go; of those at it, as many batches as it takes.
  let left = wanted - bytesBelow
  for (const { partition, batch } of held) {
    if (order.leastOf(batch) > key) continue
    const takesKey = left > 0
    const isVictim: TermsTest = (expiresAt, priority) => {
      const own = order.of(expiresAt, priority)
      return own < key || (takesKey && own === key)
    }
    let rowsBelow = 0
    let rowsAtKey = 0
    eachRun(batch, order, (own, count) => {
      if (own < key) rowsBelow += count
      else if (takesKey && own === key) rowsAtKey += count
    })
    const rows = rowsBelow + rowsAtKey
    if (rows === 0) continue
    const rowBytes = batch.bytes / batch.length
    left -= rowsAtKey * rowBytes
    const isWhole = rows === batch.length
    const copyBytes = isWhole ? 0 : (batch.length - rows) * rowBytes
    victims.push({
      partition,
      batch,
      isVictim: isWhole ? null : isVictim,
      bytes: rows * rowBytes,
      copyBytes,
    })
  }
  return victims
}

/**
 * The least key up to which records take `wanted` bytes, and what those below it take. Keys are whole numbers or
 * Infinity; buckets of ever fewer keys find it without a list of all runs.
 */
export function threshold(
  held: readonly Pick<Held, 'batch'>[],
  order: Order,
  wanted: number,
): { readonly key: number; readonly bytesBelow: number } {
  let low = Infinity
  let end = -Infinity
  for (const { batch } of held) {
    low = Math.min(low, order.leastOf(batch))
    eachRun(batch, order, (key) => {
      if (key < Infinity && key >= end) end = key + 1
    })
  }
  let bytesBelow = 0
  let isPart = false
  while (end - low > 0) {
    const width = Math.ceil((end - low) / BUCKETS)
    const buckets = bucketsOf(held, order, low, end, width)
    // In a part of the keys it is found, though the bytes there, added up in another order, seem to be a little less.
    const past = isPart ? buckets.length - 1 : buckets.length
    let bucket = 0
    while (bucket < past && bytesBelow + (buckets[bucket] ?? 0) < wanted)
      bytesBelow += buckets[bucket++] ?? 0
    if (bucket === buckets.length) break
    isPart = true
    low += bucket * width
    end = Math.min(end, low + width)
    if (width === 1) return { key: low, bytesBelow }
  }
  return { key: Infinity, bytesBelow }
}

/** The bytes of the records with keys in `[low, end)`, in buckets of `width` keys. */
function bucketsOf(
  held: readonly Pick<Held, 'batch'>[],
  order: Order,
  low: number,
  end: number,
  width: number,
): Float64Array {
  const buckets = new Float64Array(Math.ceil((end - low) / width))
  for (const { batch } of held) {
    if (order.leastOf(batch) >= end) continue
    const rowBytes = batch.bytes / batch.length
    eachRun(batch, order, (key, rows) => {
      if (key < low || key >= end) return
      const bucket = Math.floor((key - low) / width)
      buckets[bucket] = (buckets[bucket] ?? 0) + rows * rowBytes
    })
  }
  return buckets
}

/** The key and the rows of each run; there may be as many as rows, so none is made an object. */
function eachRun(batch: HotBatch, order: Order, visit: (key: number, rows: number) => void): void {
  const runs = batch.runList
  if (runs === null) {
    visit(order.ofPlain, batch.length)
    return
  }
  for (let run = 0; run < runs.count; run++)
    visit(order.at(runs, run), runs.rowEndOf(run) - runs.rowStart(run))
}

function copyBytes(victim: Victim): number {
  return victim.copyBytes
}

function sum(victims: readonly Victim[], of: (victim: Victim) => number): number {
  return victims.reduce((total, victim) => total + of(victim), 0)
}
