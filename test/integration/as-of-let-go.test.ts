/** A snapshot is asked of a running engine that has let go of what it holds: it is read from where snapshots lie. */
import { expect, test } from 'vitest'
import {
  type CreateLogOptions,
  Stratalog,
  type StratalogOptions,
  VirtualClock,
} from '../../src/index.ts'
import { expectError } from '../support/expect-error.ts'
import { temporaryDirectory } from '../support/temporary-directory.ts'

const HOUR = 3_600_000
const HYBRID = {
  retention: '1h',
  memoryTtl: '1m',
  diskAfter: '1m',
  archiveAfter: '1m',
  diskTtl: '2m',
} as const

interface Place {
  readonly options: StratalogOptions
  readonly clock: VirtualClock
}

async function directory(): Promise<Place> {
  const root = await temporaryDirectory()
  const options = { dataDir: `${root}/data`, archive: `file://${root}/archive` }
  return { options, clock: new VirtualClock() }
}

async function inRam(): Promise<Place> {
  const options = { snapshotLocation: `${await temporaryDirectory()}/snapshots` }
  return { options, clock: new VirtualClock() }
}

/** Three records that the snapshot s0 holds, and one more after all of them are gone from the log. */
async function letGo(
  { options, clock }: Place,
  more: CreateLogOptions,
  go: (db: Stratalog) => Promise<void>,
): Promise<Stratalog> {
  const db = await Stratalog.open(options, { clock })
  const schema = { key: 'utf8', n: 'int32' } as const
  const log = await db.createLog('log', { schema, keyColumn: 'key', ...more })
  await log.append([0, 1, 2].map((n) => ({ key: `k${n}`, n })))
  await db.snapshot({ name: 's0' })
  clock.advance(2 * HOUR)
  await log.append({ key: 'k3', n: 3 })
  await go(db)
  expect(await numbers(db)).toEqual([3])
  return db
}

async function retire(db: Stratalog): Promise<void> {
  await db.tier.now({ to: 'object' })
  for (let moves = 1; moves > 0;) moves = (await db.tier.run()).length
}

async function numbers(db: Stratalog, log = 'log', asOf?: string): Promise<readonly unknown[]> {
  const options = asOf === undefined ? {} : { asOf }
  return (await db.log(log).read(options).toArray()).map((row) => row['n'])
}

async function sqlNumbers(db: Stratalog, from: string): Promise<readonly unknown[]> {
  const result = await db.query(`SELECT n FROM ${from} ORDER BY n`, [], { asOf: 's0' })
  return (await result.toArray()).map((row) => row['n'])
}

test('what retention has taken from a log is read as of a snapshot that holds it', async () => {
  const at = await directory()
  await using db = await letGo(at, { storage: HYBRID }, retire)
  expect(await numbers(db, 'log', 's0')).toEqual([0, 1, 2])
  expect(await sqlNumbers(db, 'log')).toEqual([0, 1, 2])
  expect(await sqlNumbers(db, '"log$latest"')).toEqual([0, 1, 2])
  expect(await db.log('log').latest({ asOf: 's0' }).toArray()).toHaveLength(3)
  const some = await db.log('log').read({ asOf: 's0', from: 1, limit: 1 }).toArray()
  expect(some.map((row) => row['n'])).toEqual([1])
  expect(await db.log('log').read({ asOf: 's0', last: 2 }).toArray()).toHaveLength(2)
})

test('a log whose latest view is known is asked as of a snapshot with more records', async () => {
  const at = await directory()
  const db = await Stratalog.open(at.options, { clock: at.clock })
  const schema = { key: 'utf8', n: 'int32' } as const
  const log = await db.createLog('log', { schema, keyColumn: 'key', storage: HYBRID })
  await log.append([0, 1, 2].map((n) => ({ key: `k${n}`, n })))
  await db.tier.now({ to: 'object' })
  at.clock.advance(2 * HOUR)
  await log.append({ key: 'k3', n: 3 })
  await db.snapshot({ name: 's0' })
  await retire(db)
  expect(await log.latest().toArray()).toHaveLength(1)
  expect(await log.latest({ asOf: 's0' }).toArray()).toHaveLength(4)
  await db.close()
})

test('what RAM has evicted is read as of a snapshot that holds it', async () => {
  const { options, clock } = await inRam()
  await using db = await Stratalog.open(options, { clock })
  const log = await db.createLog('log', {
    schema: { key: 'utf8', n: 'int32' },
    storage: { maxMemoryBytes: '256KB' },
  })
  await log.append([0, 1, 2].map((n) => ({ key: `k${n}`, n })))
  await db.snapshot({ name: 's0' })
  while (log.range().start < 3)
    await log.append(Array.from({ length: 500 }, (_, n) => ({ key: `x${n}`, n })))
  expect(await numbers(db, 'log', 's0')).toEqual([0, 1, 2])
  expect(await sqlNumbers(db, 'log')).toEqual([0, 1, 2])
})

test('what has expired in RAM is not read as of a snapshot either', async () => {
  const at = await inRam()
  await using db = await letGo(at, { storage: { ttl: '1h' } }, async () => {})
  const gaps: unknown[] = []
  const rows = await db
    .log('log')
    .read({ asOf: 's0', onGap: ({ from, to, cause }) => gaps.push([from, to, cause]) })
    .toArray()
  expect(rows).toEqual([])
  expect(gaps).toEqual([[0, 3, 'expired']])
})

test('what a snapshot holds and is gone from the archive too is an error, never nothing', async () => {
  const at = await directory()
  await using db = await letGo(at, { storage: HYBRID }, retire)
  const { rm } = await import('node:fs/promises')
  const archive = (at.options.archive ?? '').replace('file://', '')
  await rm(`${archive}/segments`, { recursive: true })
  await rm(`${archive}/packs`, { recursive: true, force: true })
  await expectError(db.log('log').read({ asOf: 's0' }).toArray(), 'object_not_found')
})

test('a fork of a snapshot shares what the log has let go of', async () => {
  const at = await directory()
  await using db = await letGo(at, { storage: HYBRID }, retire)
  const fork = await db.fork('log', 'fork', { snapshot: 's0' })
  expect(await numbers(db, 'fork')).toEqual([0, 1, 2])
  // It goes on from there, and needs neither the snapshot nor its source.
  await fork.append({ key: 'k4', n: 4 })
  await db.deleteSnapshot('s0')
  await db.deleteLog('log')
  at.clock.advance(2 * HOUR)
  await db.tier.collect()
  expect((await fork.get(1))?.['n']).toBe(1)
})

test('a fork that cannot share what a snapshot holds says so, and that a restore can copy it', async () => {
  const root = await temporaryDirectory()
  const options = { dataDir: `${root}/data`, snapshotLocation: `${root}/snapshots` }
  const storage = { mode: 'persistent', retention: '1h' } as const
  await using db = await letGo(
    { options, clock: new VirtualClock() },
    { storage },
    async (engine) => {
      await engine.tier.now({ to: 'disk' })
      for (let moves = 1; moves > 0;) moves = (await engine.tier.run()).length
    },
  )
  expect(await numbers(db, 'log', 's0')).toEqual([0, 1, 2])
  expect(await sqlNumbers(db, 'log')).toEqual([0, 1, 2])
  const error = await expectError(db.fork('log', 'fork', { snapshot: 's0' }), 'offset_gap')
  expect(error.details).toMatchObject({ from: 0, to: 3, snapshot: 's0' })
  expect(error.message).toContain('Restore the log from the snapshot')
  expect(db.logs()).toHaveLength(1)
})
