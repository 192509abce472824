/**
 * One figure about memory, of a process that did nothing else: `footprint-child.ts SUBJECT FIGURE COUNT` under
 * `--expose-gc` prints `{ value, readBack }`.
 */
import { Stratalog, type Log } from '../src/index.ts'
import { makeRecords, type BenchRecord } from './records.ts'

const BATCH_RECORDS = 1_000
const COLLECTIONS = 9

const [subject = '', figure = '', countText = ''] = process.argv.slice(2)
const count = Number(countText)

/** Something that keeps records by the name of a log. */
interface Keeper {
  create(name: string): Promise<void>
  append(name: string, records: readonly BenchRecord[]): Promise<void>
  length(name: string): Promise<number>
  /** Bytes that it counts itself; null where it does not. */
  usedBytes(): number | null
}

async function stratalogKeeper(): Promise<Keeper> {
  const db = await Stratalog.memoryOnly({ maxMemoryBytes: '8GB' })
  const logs = new Map<string, Log>()
  return {
    create: async (name) => {
      logs.set(name, await db.createLog(name, { timeColumn: 'ts' }))
    },
    append: async (name, records) => {
      await logs.get(name)?.append(records)
    },
    length: async (name) => (await logs.get(name)?.read({ last: 1 }).toArray())?.length ?? 0,
    usedBytes: () => db.memoryMetrics().usedBytes,
  }
}

function arrayKeeper(): Keeper {
  const arrays = new Map<string, BenchRecord[]>()
  return {
    create: async (name) => {
      arrays.set(name, [])
    },
    append: async (name, records) => {
      for (const record of records) arrays.get(name)?.push({ ...record })
    },
    length: async (name) => arrays.get(name)?.slice(-1).length ?? 0,
    usedBytes: () => null,
  }
}

/** Bytes of the records' values, in UTF-8. */
function payloadBytes(records: readonly BenchRecord[]): number {
  let bytes = 0
  for (const { key, event, text } of records) {
    bytes += 8 + 4 + 8 + Buffer.byteLength(key) + Buffer.byteLength(event) + Buffer.byteLength(text)
  }
  return bytes
}

async function fill(keeper: Keeper): Promise<number> {
  await keeper.create('events')
  let payload = 0
  for (let start = 0; start < count; start += BATCH_RECORDS) {
    const records = makeRecords(Math.min(BATCH_RECORDS, count - start), start + 1)
    payload += payloadBytes(records)
    await keeper.append('events', records)
  }
  return payload
}

function collect(): void {
  if (globalThis.gc === undefined) throw new Error('Run this with --expose-gc.')
  globalThis.gc()
}

function residentBytes(): number {
  collect()
  return process.memoryUsage.rss()
}

/** What V8 and its buffers hold. */
function heldBytes(): number {
  collect()
  const { heapUsed, external } = process.memoryUsage()
  return heapUsed + external
}

/** ms of the middle one of several full collections. */
function pauseMs(): number {
  collect()
  const pauses = Array.from({ length: COLLECTIONS }, () => {
    const start = performance.now()
    collect()
    return performance.now() - start
  })
  return pauses.toSorted((a, b) => a - b)[COLLECTIONS >> 1] ?? 0
}

const figures: Readonly<Record<string, (keeper: Keeper) => Promise<number>>> = {
  counted: async (keeper) => {
    const before = heldBytes()
    const payload = await fill(keeper)
    return ((keeper.usedBytes() ?? heldBytes() - before) - payload) / count
  },
  resident: async (keeper) => {
    // The code that makes the records has its own growth behind it.
    payloadBytes(makeRecords(10 * BATCH_RECORDS, 1))
    const before = residentBytes()
    const payload = await fill(keeper)
    return (residentBytes() - before - payload) / count
  },
  pause: async (keeper) => {
    if (count > 0) await fill(keeper)
    return pauseMs()
  },
  idle: async (keeper) => {
    const before = heldBytes() + (keeper.usedBytes() ?? 0)
    for (let index = 0; index < count; index++) await keeper.create(`log-${index}`)
    return (heldBytes() + (keeper.usedBytes() ?? 0) - before) / count
  },
  seconds: async (keeper) => (await manyLogs(keeper)) / 1_000,
  mebibytes: async (keeper) => {
    await manyLogs(keeper)
    return process.memoryUsage.rss() / 1024 ** 2
  },
}

/** ms for creating `count` logs and appending a record to each. */
async function manyLogs(keeper: Keeper): Promise<number> {
  const [record] = makeRecords(1)
  if (record === undefined) throw new Error('No record was made.')
  const start = performance.now()
  for (let index = 0; index < count; index++) {
    await keeper.create(`log-${index}`)
    await keeper.append(`log-${index}`, [record])
  }
  return performance.now() - start
}

const keeper = subject === 'ours' ? await stratalogKeeper() : arrayKeeper()
const value = await figures[figure]?.(keeper)
const readBack = (await keeper.length('events').catch(() => 0)) + (await keeper.length('log-0'))
process.stdout.write(JSON.stringify({ value, readBack }), () => process.exit(0))
