/** What the shipped engine makes of a damaged place: everything is read, and nothing is judged here. */
import { cpSync, rmSync } from 'node:fs'
import { silentLogger } from '../../../src/base/logger.ts'
import { isStratalogError } from '../../../src/base/errors.ts'
import { systemClock } from '../../../src/base/clock.ts'
import { PACK_SEGMENTS_MIN } from '../../../src/format/limits.ts'
import {
  type EnginePorts,
  type ReadOptions,
  Stratalog,
  restoreArchive,
  verifyFiles,
} from '../../../src/index.ts'
import { type Damage, applyDamage, baseOf, filesOf } from './damage.ts'
import { recordAt, recordText } from './fixture.ts'

/** A failure as the parent judges it: a code of ours, or what should never come out. */
export interface Failure {
  readonly code: string | null
  readonly message: string
}

/** Records of one partition, `[offset, text]` in the order they came, and what ended them. */
export interface Part {
  readonly records: readonly (readonly [number, string])[]
  readonly failure: Failure | null
}

/** Offsets `[from, to)` of `log/partition`. */
export interface ReportedRange {
  readonly key: string
  readonly from: number
  readonly to: number
}

/** One way to look: `failure` when there was nothing to read from. */
export interface Look {
  readonly name: 'read' | 'write' | 'sql' | 'archive' | 'replay' | 'restore'
  readonly failure: Failure | null
  readonly parts: Readonly<Record<string, Part>>
  /** What a report names as missing or damaged. */
  readonly reported: readonly ReportedRange[]
  /** By log, where it was appended to as well: what refused that; null where it was acknowledged. */
  readonly appends?: Readonly<Record<string, Failure | null>>
}

export interface Observation {
  readonly damage: Damage
  readonly looks: readonly Look[]
  readonly verify: {
    readonly failure: Failure | null
    readonly kinds: readonly string[]
    readonly notes: readonly string[]
  }
  /** Files that looking without writing changed. */
  readonly touched: readonly string[]
  readonly rssBytesMax: number
}

/** Logs that hold records, in every base. */
const LOGS: readonly (readonly [string, number])[] = [
  ['orders', 2],
  ['loose', 1],
  ['quiet', PACK_SEGMENTS_MIN],
  ['direct', 1],
]

const PORTS: Partial<EnginePorts> = {
  logger: silentLogger,
  // What verify waits for is another process, and there is none.
  clock: { ...systemClock, sleep: async () => {} },
}

/** Damages a copy in `scratch` as the seed says, and looks at it. */
export async function observe(seed: number, root: string, scratch: string): Promise<Observation> {
  const base = baseOf(seed)
  const place = `${scratch}/place`
  rmSync(scratch, { recursive: true, force: true })
  cpSync(`${root}/${base}/now`, place, { recursive: true })
  const damage = applyDamage(seed, {
    place,
    early: `${root}/${base}/early`,
    other: `${root}/${base}-other/now`,
  })
  const before = filesOf(place).join('\n')
  const verify = await observeVerify(place)
  const looks: Look[] = []
  const inArchive = damage.kind.startsWith('archive') || damage.kind === 'object'
  if (inArchive) looks.push(...(await lookAtArchive(place, seed)))
  looks.push(await lookReadOnly(place, seed))
  const after = filesOf(place).join('\n')
  // Opening for writing takes ten times as long as all else: a lock, a thread, files that are made durable.
  if (seed % 12 === 0) looks.push(await lookWriting(place))
  return {
    damage,
    looks,
    verify,
    touched: before === after ? [] : [after],
    rssBytesMax: process.resourceUsage().maxRSS * 1024,
  }
}

async function observeVerify(place: string): Promise<Observation['verify']> {
  try {
    const { problems, notes } = await verifyFiles(
      { dataDir: `${place}/data`, archive: archiveOf(place) },
      PORTS,
    )
    return {
      failure: null,
      kinds: problems.map(({ kind }) => kind),
      notes: notes.map(({ kind }) => kind),
    }
  } catch (error) {
    return { failure: failureOf(error), kinds: [], notes: [] }
  }
}

function archiveOf(place: string): string {
  return `file://${place}/archive`
}

async function lookReadOnly(place: string, seed: number): Promise<Look> {
  return look('read', async (parts) => {
    const options = { dataDir: `${place}/data`, archive: archiveOf(place) }
    await using db = await Stratalog.openReadOnly(options, PORTS)
    await readAll(db, parts)
    if (seed % 16 === 1) await querySome(db, parts)
  })
}

/** Opens as its writer does, reads, and goes on writing. */
async function lookWriting(place: string): Promise<Look> {
  const appends: Record<string, Failure | null> = {}
  const seen = await look('write', async (parts) => {
    const options = { dataDir: `${place}/data`, archive: archiveOf(place) }
    const db = await Stratalog.open(options, PORTS)
    try {
      await readAll(db, parts)
      for (const [name] of LOGS) appends[name] = await appendOne(db, name)
    } finally {
      await db.close()
    }
  })
  return { ...seen, appends }
}

async function appendOne(db: Stratalog, name: string): Promise<Failure | null> {
  try {
    await db.log(name).append(recordAt(`${name}/0`, 0), { partition: 0 })
    return null
  } catch (error) {
    return failureOf(error)
  }
}

async function lookAtArchive(place: string, seed: number): Promise<readonly Look[]> {
  const archive = archiveOf(place)
  const reading = await look('archive', async (parts) => {
    await using reader = await Stratalog.openArchive(archive, {}, PORTS)
    await readAll(reader, parts)
  })
  if (seed % 6 !== 0) return [reading, await lookReplaying(archive)]
  return [reading, await lookRestoring(archive, `${place}/restored`)]
}

async function lookReplaying(archive: string): Promise<Look> {
  const reported: ReportedRange[] = []
  return look(
    'replay',
    async (parts) => {
      await using db = await Stratalog.memoryOnly({}, PORTS)
      const report = await db.replayFromArchive(archive, {})
      const gaps = report.logs.flatMap(({ name, gaps: own }) =>
        own.map((gap) => ({ ...gap, log: name })),
      )
      reported.push(...[...report.missing, ...report.corrupt, ...gaps].map(rangeOf))
      await readAll(db, parts, true)
    },
    reported,
  )
}

async function lookRestoring(archive: string, dataDir: string): Promise<Look> {
  const reported: ReportedRange[] = []
  const restored = await look(
    'restore',
    async (parts) => {
      const report = await restoreArchive({ archive, dataDir, eager: true }, PORTS)
      reported.push(...[...report.missing, ...report.corrupt, ...report.gaps].map(rangeOf))
      await using db = await Stratalog.openReadOnly({ dataDir }, PORTS)
      await readAll(db, parts, true)
    },
    reported,
  )
  rmSync(dataDir, { recursive: true, force: true })
  return restored
}

function rangeOf(range: {
  readonly log: string
  readonly partition: number
  readonly from: number
  readonly to: number
}): ReportedRange {
  return { key: `${range.log}/${range.partition}`, from: range.from, to: range.to }
}

async function look(
  name: Look['name'],
  work: (parts: Record<string, Part>) => Promise<void>,
  reported: readonly ReportedRange[] = [],
): Promise<Look> {
  const parts: Record<string, Part> = {}
  try {
    await work(parts)
    return { name, failure: null, parts, reported }
  } catch (error) {
    return { name, failure: failureOf(error), parts, reported }
  }
}

/** What can be read: a live engine, a read-only one, an archive. */
interface Readable {
  log(name: string): {
    read(options: ReadOptions): { rows(): AsyncIterable<Record<string, unknown>> }
  }
}

async function readAll(
  source: Readable,
  parts: Record<string, Part>,
  skipsGaps = false,
): Promise<void> {
  for (const [name, partitions] of LOGS) {
    for (let partition = 0; partition < partitions; partition++) {
      const records: (readonly [number, string])[] = []
      let failure: Failure | null = null
      try {
        const options: ReadOptions = { partition, ...(skipsGaps ? { onGap: 'skip' } : {}) }
        for await (const row of source.log(name).read(options).rows())
          records.push([Number(row['_offset']), recordText(row)])
      } catch (error) {
        failure = failureOf(error)
      }
      parts[`${name}/${partition}`] = { records, failure }
    }
  }
}

/** By SQL; held against the same oracle. */
async function querySome(db: Stratalog, parts: Record<string, Part>): Promise<void> {
  const records: (readonly [number, string])[] = []
  let failure: Failure | null = null
  try {
    const result = await db.query(
      'SELECT _offset, id, word, note, price FROM orders WHERE _partition = 0 ORDER BY _offset',
    )
    for (const row of await result.toArray())
      records.push([Number(row['_offset']), recordText(row)])
  } catch (error) {
    failure = failureOf(error)
  }
  parts['orders/0 by SQL'] = { records, failure }
}

function failureOf(error: unknown): Failure {
  if (isStratalogError(error)) return { code: error.code, message: error.message }
  return {
    code: null,
    message: error instanceof Error ? (error.stack ?? error.message) : String(error),
  }
}
