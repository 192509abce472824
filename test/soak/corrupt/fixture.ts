/**
 * What the corruption sweep damages: small data directories with their archives, and every record that they hold.
 *
 * - `closed`: segments on disk only, on both tiers and in the archive only, alone in their files and in packs, Arrow
 *   and Parquet, logs with a WAL and without, several partitions, a snapshot, and records that are in the WAL alone;
 *   closed as it should be.
 * - `crashed`: the same, copied while the engine was running, so the WAL has no seal.
 * - `long`: enough commits that both manifests have a base, and segments for its pages.
 *
 * Beside each lies `early`, the same place at an earlier time, and `other`, another engine's with the same offsets.
 */
import { cp, mkdir, rename, rm } from 'node:fs/promises'
import { PACK_SEGMENTS_MIN } from '../../../src/format/limits.ts'
import { systemClock } from '../../../src/base/clock.ts'
import { silentLogger } from '../../../src/base/logger.ts'
import { noMetrics } from '../../../src/base/metrics.ts'
import { seededRandom } from '../../../src/base/random.ts'
import { BASE_NAMES, type BaseName } from './damage.ts'
import { type Records, type WalTail, readWalTail } from './wal-tail.ts'
import { type EnginePorts, type Log, Stratalog } from '../../../src/index.ts'

export interface Base {
  readonly name: BaseName
  readonly records: Records
  /** As `records`: what the archive alone holds. */
  readonly archived: Records
  /** The newest file of the WAL. */
  readonly wal: WalTail
  /** The same, of the base that was not closed. */
  readonly tail: WalTail | null
}

export interface Fixture {
  /** Holds `<name>/now`, `<name>/early` and `<name>/other`, each with `data` and `archive`. */
  readonly root: string
  readonly bases: readonly Base[]
}

/** A log that the scheduler flushes after so long; the others wait longer than the place lives. */
const QUIET_MS = 1_000

const WORDS = ['view', 'pay', 'leave', 'return'] as const

/** The record at an offset, as it was appended. `life` tells the other engine's records from ours. */
export function recordAt(key: string, offset: number, life = 0): Readonly<Record<string, unknown>> {
  const n = offset * 7 + key.length + life * 1_000
  return {
    id: n,
    word: WORDS[(offset + life) % WORDS.length] ?? '',
    note: `${key} note ${n * 7919}`,
    price: offset % 9 === 4 ? null : n / 4,
  }
}

/** As the child prints a record that it read. */
export function recordText(record: Readonly<Record<string, unknown>>): string {
  const { id, word, note, price } = record
  return `${String(id)}|${String(word)}|${String(note)}|${String(price)}`
}

/** What the clock says: it stands still unless it is set, so that equal appends give equal files. */
class Time {
  now = 1_790_000_000_000
}

function portsOf(seed: number, time: Time): EnginePorts {
  return {
    clock: { ...systemClock, now: () => time.now },
    random: seededRandom(seed),
    logger: silentLogger,
    metrics: noMetrics,
    storage: null,
    onRecovery: () => {},
  }
}

export async function buildFixture(root: string): Promise<Fixture> {
  const bases: Base[] = []
  for (const name of BASE_NAMES) {
    bases.push(await buildBase(`${root}/${name}`, name, 0))
    await buildBase(`${root}/${name}-other`, name, 1)
  }
  return { root, bases }
}

/** One life of a place, told by its appends. */
class Builder {
  readonly #life: number
  readonly counts: Record<string, number> = {}
  readonly #sequences: Record<string, number> = {}

  constructor(life: number) {
    this.#life = life
  }

  async append(log: Log, partition: number, count: number): Promise<void> {
    const key = `${log.name}/${partition}`
    const from = this.counts[key] ?? 0
    const rows = Array.from({ length: count }, (_, index) =>
      recordAt(key, from + index, this.#life),
    )
    const sequence = this.#sequences[key] ?? 0
    const producer = { producerId: 'life', epoch: this.#life, sequence }
    await log.append(rows, { partition, producer })
    this.counts[key] = from + count
    this.#sequences[key] = sequence + 1
  }
}

async function buildBase(place: string, name: BaseName, life: number): Promise<Base> {
  const work = `${place}/now`
  await mkdir(work, { recursive: true })
  const options = { dataDir: `${work}/data`, archive: `file://${work}/archive` }
  const time = new Time()
  const ports = portsOf(life + 1, time)
  const builder = new Builder(life)
  const first = await Stratalog.open(options, ports)
  await first.createLog('orders', { partitions: 2 })
  await first.createLog('loose', { storage: { wal: false, segmentFormat: 'parquet' } })
  await first.createLog('direct', { storage: { localDisk: false } })
  await first.createLog('quiet', {
    partitions: PACK_SEGMENTS_MIN,
    storage: { diskAfter: QUIET_MS },
  })
  await builder.append(first.log('orders'), 0, 9)
  // What moves alone lies alone in its object, and what moves together lies in a pack.
  await first.tier.now({ logs: ['orders'], to: 'object' })
  await appendAll(first, builder, 30)
  await first.tier.now({ to: 'object' })
  if (name === 'long') for (let n = 0; n < 62; n++) await first.createLog(`empty-${n}`)
  const snapshots = name === 'long' ? 64 : 1
  for (let n = 0; n < snapshots; n++) await first.snapshot({ name: `at-${n}` })
  await appendAll(first, builder, 12)
  await first.tier.now({ to: 'object' })
  await first.close()
  await cp(work, `${place}/early`, { recursive: true })

  const second = await Stratalog.open(options, ports)
  const archived = { ...builder.counts }
  for (const [partition, count] of [
    [0, 20],
    [1, 8],
  ] as const)
    await builder.append(second.log('orders'), partition, count)
  await builder.append(second.log('loose'), 0, 10)
  await second.tier.now({ to: 'disk' })
  await fillCaches(second)
  await flushTogether(second, builder, time)
  for (let n = 0; n < 5; n++) {
    await builder.append(second.log('orders'), n % 2, 4)
    await builder.append(second.log('direct'), 0, 3)
  }
  const names = new Map(second.logs().map((log, index) => [index + 1, log.name]))
  if (name === 'crashed') {
    await cp(work, `${place}/copy`, { recursive: true })
    await second.close()
    await rm(work, { recursive: true })
    await rename(`${place}/copy`, work)
  } else {
    await second.close()
  }
  const wal = readWalTail(work, names)
  const tail = name === 'crashed' ? wal : null
  return { name, records: builder.counts, archived, wal, tail }
}

/** What is only in the archive is read from there, and kept. */
async function fillCaches(db: Stratalog): Promise<void> {
  await db.log('direct').read().toArray()
  await (await db.query('SELECT sum(id), max(note) FROM direct')).toArray()
}

/** What the scheduler flushes in one round shares a pack on disk. */
async function flushTogether(db: Stratalog, builder: Builder, time: Time): Promise<void> {
  for (let partition = 0; partition < PACK_SEGMENTS_MIN; partition++)
    await builder.append(db.log('quiet'), partition, 5)
  time.now += QUIET_MS
  const isFlushed = (): boolean =>
    db
      .status()
      .logs.filter(({ name }) => name === 'quiet')
      .every(({ partitions }) =>
        partitions.every(({ endOffset, tiers }) => tiers.disk.endOffset === endOffset),
      )
  while (!isFlushed()) await systemClock.sleep(20)
}

async function appendAll(db: Stratalog, builder: Builder, count: number): Promise<void> {
  await builder.append(db.log('orders'), 0, count)
  await builder.append(db.log('orders'), 1, Math.floor(count / 2))
  await builder.append(db.log('loose'), 0, count)
  await builder.append(db.log('direct'), 0, count)
}
